// Unpacks the browser, and the libraries that it needs and few machines have, into the folder that TMPDIR names.
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import chromium, { inflate } from "@sparticuz/chromium";

const folder = dirname(createRequire(import.meta.url).resolve("@sparticuz/chromium"));
await Promise.all([chromium.executablePath(), inflate(join(folder, "..", "bin", "al2023.tar.br"))]);

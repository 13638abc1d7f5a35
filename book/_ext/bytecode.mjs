// Compiles an archive of Python modules by the Python that will import it: node bytecode.mjs PYODIDE IN.zip OUT.zip

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [pyodide, source, target] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${pyodide}/pyodide.mjs`).href);
const python = await loadPyodide({ indexURL: `${pyodide}/` });
python.FS.writeFile("/source.zip", readFileSync(source));
python.runPython(`
import importlib.util, marshal, zipfile

with zipfile.ZipFile("/source.zip") as source, zipfile.ZipFile("/target.zip", "w") as target:
    for entry in source.infolist():
        # Without docstrings, which nobody reads there.
        code = compile(source.read(entry), f"/python.zip/{entry.filename}", "exec", dont_inherit=True, optimize=2)
        compiled = zipfile.ZipInfo(f"{entry.filename}c", entry.date_time)
        header = importlib.util.MAGIC_NUMBER + bytes(12)
        target.writestr(compiled, header + marshal.dumps(code), zipfile.ZIP_DEFLATED, 9)
`);
writeFileSync(target, python.FS.readFile("/target.zip"));

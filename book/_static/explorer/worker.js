// Python with SymPy and actlib.formula, in a thread of its own that may be ended at any time.

const post = (message) => self.postMessage(message);

// Counts what is fetched, for the progress bar.
const plain = self.fetch.bind(self);
let loaded = 0;
self.fetch = async (...request) => {
    const response = await plain(...request);
    if (!response.ok || !response.body) return response;
    const counter = new TransformStream({
        transform(chunk, controller) {
            loaded += chunk.byteLength;
            post({ kind: "loaded", loaded });
            controller.enqueue(chunk);
        },
    });
    const headers = new Headers(response.headers);
    if (response.url.endsWith(".wasm")) headers.set("content-type", "application/wasm");
    return new Response(response.body.pipeThrough(counter), { status: response.status, headers });
};

const PROGRAM = `
import json, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, "/python.zip")
from actlib.formula.parser import FormulaError
from actlib.formula.report import report

def explain(text, values, post):
    try:
        for part in report(text, json.loads(values)):
            post(json.dumps(part))
    except FormulaError as error:
        post(json.dumps({"part": "error", "message": str(error), "at": error.at}))
    except RecursionError:
        post(json.dumps({"part": "error", "message": "the formula is too involved"}))
    except Exception as error:
        post(json.dumps({"part": "error", "message": f"SymPy stops here: {error}"}))
`;

async function start() {
    const here = (path) => new URL(path, self.location.href).href;
    const archive = self.fetch(here("python.zip")).then((response) => response.arrayBuffer());
    const { loadPyodide } = await import("./pyodide/pyodide.mjs");
    const python = await loadPyodide({ indexURL: here("pyodide/") });
    python.FS.writeFile("/python.zip", new Uint8Array(await archive));
    post({ kind: "starting" });
    python.runPython(PROGRAM);
    return python.globals.get("explain");
}

const explain = start();
explain.then(
    () => post({ kind: "ready" }),
    (error) => post({ kind: "failed", message: String(error) }),
);

self.onmessage = async ({ data: { formula, values } }) => {
    const run = await explain;
    run(formula, JSON.stringify(values), (part) => post({ kind: "part", part: JSON.parse(part) }));
    post({ kind: "done" });
};

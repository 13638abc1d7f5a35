// Python with SymPy and actlib.formula, in a thread of its own that may be ended at any time.

const post = (message) => self.postMessage(message);
const here = (path) => new URL(path, self.location.href).href;

// What Pyodide asks for one after another is fetched at once. What comes is counted for the progress bar, from a copy:
// the browser keeps the machine code that it makes of WebAssembly only if it compiles what it has fetched itself.
const plain = self.fetch.bind(self);
const early = new Map();
async function fetched(url) {
    const response = await plain(url);
    if (response.ok && response.body) count(response.clone().body.getReader());
    return response;
}

let loaded = 0;
async function count(reader) {
    for (let part; !(part = await reader.read()).done; ) {
        loaded += part.value.byteLength;
        post({ kind: "loaded", loaded });
    }
}

for (const path of ["pyodide/pyodide.asm.wasm", "pyodide/python_stdlib.zip", "python.zip"]) {
    early.set(here(path), fetched(here(path)));
}
self.fetch = (request, ...options) => {
    const url = request.url ?? String(request);
    const response = early.get(url);
    early.delete(url);
    return response ?? plain(request, ...options);
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
    const { loadPyodide } = await import("./pyodide/pyodide.mjs");
    const python = await loadPyodide({ indexURL: here("pyodide/") });
    const archive = await self.fetch(here("python.zip"));
    python.FS.writeFile("/python.zip", new Uint8Array(await archive.arrayBuffer()));
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

export function start(root, changed) {
    return { formula: () => "", set: () => {} };
}

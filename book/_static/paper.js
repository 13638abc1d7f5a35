// Paper is light, 170 mm wide at least, and cannot be scrolled: before a page is printed, its theme is made light, and
// what is too wide gets the factor at which it fits. Afterwards all is as it was.
{
  // What paper.css gives, in CSS pixels: between the margins, of the root's font, of a line of code.
  const WIDTH = 642, HEIGHT = 979, SIZE = 13, LINE = 15;
  const root = document.documentElement;
  let theme = null;

  const natural = (element) => {
    const inner = element.matches("mjx-container") ? element.firstElementChild : element;
    const before = inner.style.cssText;
    if (element.matches("table")) inner.style.width = "min-content";
    const width = inner.getBoundingClientRect().width;
    inner.style.cssText = before;
    return width;
  };

  const prepare = () => {
    theme ??= root.dataset.theme;
    root.dataset.theme = "light";
    const shrunk = SIZE / parseFloat(getComputedStyle(root).fontSize);
    for (const wide of document.querySelectorAll("article table, article mjx-container")) {
      if (wide.parentElement.closest("table")) continue; // shrinks with it
      const inset = wide.getBoundingClientRect().left - wide.closest("article").getBoundingClientRect().left;
      const room = WIDTH - (wide.matches("mjx-container") ? Math.max(0, Math.min(inset, 60)) * shrunk : 0);
      const fit = room / (natural(wide) * shrunk);
      if (fit < 1) wide.style.setProperty("--paper-fit", (0.99 * fit).toFixed(3));
    }
    // Code stays with what it gave, but only if both fit a page: else Chromium would break what should stay whole.
    for (const cell of document.querySelectorAll("div.cell:has(> .cell_input + .cell_output)")) {
      const [code, given] = [".cell_input", ".cell_output"].map((part) => cell.querySelector(part));
      const height = LINE * code.textContent.trim().split("\n").length + shrunk * given.getBoundingClientRect().height;
      code.classList.toggle("paper-apart", height > 0.85 * HEIGHT);
    }
  };

  const restore = () => {
    if (theme !== null) root.dataset.theme = theme;
    theme = null;
    document.querySelectorAll("[style*='--paper-fit']").forEach((e) => e.style.removeProperty("--paper-fit"));
  };

  window.addEventListener("beforeprint", prepare);
  window.addEventListener("afterprint", restore);

  window.printPage = (solutions) => {
    root.classList.toggle("with-solutions", solutions);
    window.print();
  };
  root.classList.toggle("with-solutions", new URLSearchParams(location.search).get("print") === "solutions");
}

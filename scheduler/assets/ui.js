// What pages do beyond HTML: load themselves again while one looks, and open a task from its cell. Everything
// they show is readable without this file.
"use strict";

(() => {
  const main = document.querySelector("main");

  // Whoever types, selects or has opened something is not disturbed.
  const isQuiet = () => {
    const at = document.activeElement;
    const types = at && at !== document.body && at !== main && main.contains(at);
    const selects = String(document.getSelection() || "") !== "";
    const reads = main.querySelector("details[open]") || main.querySelector("#proof li");
    const filled = [...main.querySelectorAll("input")].some((input) => input.value !== input.defaultValue);
    return !document.hidden && !types && !selects && !reads && !filled;
  };

  const again = async () => {
    if (!isQuiet()) return;
    try {
      const answer = await fetch(location.href, { headers: { "x-live": "1" }, redirect: "error" });
      if (!answer.ok || !isQuiet()) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("main");
      if (fresh) main.replaceChildren(...fresh.childNodes);
      openCells();
      document.dispatchEvent(new Event("fresh"));
    } catch {
      // The scheduler is away, or the session is over: the next click says which.
    }
  };

  const openCells = () => {
    const cells = main.querySelector("svg[data-order]");
    if (!cells) return;
    cells.addEventListener("click", (event) => {
      const box = cells.getBoundingClientRect();
      const [, , width, height] = cells.getAttribute("viewBox").split(" ").map(Number);
      const x = Math.floor(((event.clientX - box.left) / box.width) * (width / 6));
      const y = Math.floor(((event.clientY - box.top) / box.height) * (height / 6));
      location.href = `/ui/orders/${cells.dataset.order}/tasks/${y * (width / 6) + x}`;
    });
  };

  const every = Number(main.dataset.live || 0);
  if (every > 0) setInterval(again, every * 1000);
  openCells();
})();

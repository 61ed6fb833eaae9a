// What the page does beyond HTML: it loads itself again while one looks, shows sliders beside numbers, and lets a
// week be painted. Everything can be read and done without this file.
"use strict";

(() => {
  const main = document.querySelector("main");

  // Whoever types, selects or has changed something is not disturbed.
  const isQuiet = () => {
    const at = document.activeElement;
    const types = at && main.contains(at) && at.matches("input, select, pre");
    const selects = String(document.getSelection() || "") !== "";
    const chose = [...main.querySelectorAll("select")].some((select) => select.selectedIndex > 0);
    return !document.hidden && !types && !selects && !chose;
  };

  const again = async () => {
    if (!isQuiet()) return;
    try {
      const answer = await fetch(location.href, { redirect: "error" });
      if (!answer.ok || !isQuiet()) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("main");
      if (!fresh || fresh.innerHTML === main.dataset.last) return;
      const held = document.activeElement?.value;
      main.dataset.last = fresh.innerHTML;
      main.replaceChildren(...fresh.childNodes);
      // A button that had the focus keeps it.
      if (held) [...main.querySelectorAll("button")].find((button) => button.value === held)?.focus();
    } catch {
      // The worker is away, or this browser was shut out: the next click says which.
    }
  };

  const every = Number(main.dataset.live || 0);
  if (every > 0) setInterval(again, every * 1000);

  for (const slider of main.querySelectorAll("input[type=range]")) {
    const number = document.getElementById(slider.dataset.for);
    slider.hidden = false;
    slider.addEventListener("input", () => (number.value = slider.value));
    number.addEventListener("input", () => (slider.value = number.value));
  }

  const days = [...main.querySelectorAll(".day")].map((day) => [...day.querySelectorAll("input")]);
  const across = () => getComputedStyle(main.querySelector(".day")).gridTemplateColumns.split(" ").length;
  // One box of a day is reached by Tab, the others by arrows.
  const stand = (day, box) => {
    for (const other of day) other.tabIndex = other === box ? 0 : -1;
  };
  days.forEach((day, d) => {
    stand(day, day[0]);
    day.forEach((box, at) => {
      box.addEventListener("keydown", (event) => {
        const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across(), ArrowUp: -across() };
        const step = steps[event.key];
        if (step === undefined) return;
        event.preventDefault();
        const next = day[at + step] ?? days[d + Math.sign(step)]?.[step > 0 ? 0 : day.length - 1];
        if (!next) return;
        stand(next === day[at + step] ? day : days[d + Math.sign(step)], next);
        next.focus();
      });
      box.addEventListener("focus", () => stand(day, box));
    });
  });

  // With the mouse held down, every box that is passed becomes what the first one became.
  let painting = null;
  main.addEventListener("pointerdown", (event) => {
    const box = event.target.closest(".day label")?.querySelector("input");
    if (!box || event.pointerType !== "mouse") return;
    event.preventDefault();
    painting = !box.checked;
    box.checked = painting;
    box.focus();
  });
  main.addEventListener("pointerover", (event) => {
    const box = event.target.closest(".day label")?.querySelector("input");
    if (painting !== null && box) box.checked = painting;
  });
  document.addEventListener("pointerup", () => (painting = null));
  main.addEventListener("click", (event) => {
    if (event.target.closest(".day label") && event.detail > 0) event.preventDefault();
  });
})();

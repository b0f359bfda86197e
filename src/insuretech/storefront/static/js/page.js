// Small helps of a page: a limit on comparing, dialogs, copying, the live line.
(() => {
  const limitComparing = () => {
    document.querySelectorAll("[data-compare]").forEach((list) => {
      const marks = [...list.querySelectorAll('input[name="offers"]')];
      const chosen = marks.filter((mark) => mark.checked);
      marks.forEach((mark) => {
        mark.disabled = !mark.checked && chosen.length >= 3;
      });
      list.querySelectorAll("[data-compare-button]").forEach((button) => {
        button.hidden = chosen.length < 2;
      });
    });
  };
  document.addEventListener("change", limitComparing);

  // What is typed while a step is being drawn anew stays typed.
  const controls = (fields) => [...fields.querySelectorAll("input:not([type=hidden]), select")];
  const isMark = (control) => control.type === "radio" || control.type === "checkbox";
  const keyOf = (control) => (isMark(control) ? `${control.name}=${control.value}` : control.name);
  const stateOf = (control) => (isMark(control) ? control.checked : control.value);
  const given = (fields) => new Map(controls(fields).map((control) => [keyOf(control), stateOf(control)]));
  let asked = new Map();
  let later = new Map();
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.id === "wizard-fields") asked = given(event.detail.elt);
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id !== "wizard-fields") return;
    later = new Map([...given(event.detail.target)].filter(([key, state]) => asked.get(key) !== state));
  });
  document.addEventListener("htmx:afterSwap", () => {
    const fields = document.getElementById("wizard-fields");
    if (!fields) return;
    controls(fields).forEach((control) => {
      if (!later.has(keyOf(control))) return;
      if (isMark(control)) control.checked = later.get(keyOf(control));
      else control.value = later.get(keyOf(control));
    });
    later = new Map();
  });

  // A list does not change under a finger, or the press is lost: what came meanwhile is shown afterwards.
  const CLICK_FOLLOWS = 100; // ms; a touch becomes a click only after it has ended
  let pressed = null;
  let missed = false;
  let release = 0;
  document.addEventListener("pointerdown", (event) => {
    clearTimeout(release);
    pressed = event.target.closest?.("#board") ?? null;
  });
  ["pointerup", "pointercancel"].forEach((ended) =>
    document.addEventListener(ended, () => {
      release = setTimeout(() => {
        if (missed) window.htmx.trigger(pressed, "released");
        pressed = null;
        missed = false;
      }, CLICK_FOLLOWS);
    }),
  );

  // When a new offer renews the list, marks for comparing stay, and only what is new moves.
  let marked = new Set();
  let known = new Set();
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (pressed && event.detail.target === pressed) {
      event.detail.shouldSwap = false;
      missed = true;
      return;
    }
    marked = new Set([...document.querySelectorAll('input[name="offers"]:checked')].map((mark) => mark.value));
    known = new Set([...document.querySelectorAll(".offer[id]")].map((offer) => offer.id));
  });
  document.addEventListener("htmx:afterSwap", () => {
    document.querySelectorAll(".offer[id]").forEach((offer) => {
      if (!known.has(offer.id)) offer.classList.add("offer--new");
    });
    document.querySelectorAll('input[name="offers"]').forEach((mark) => {
      if (marked.has(mark.value)) mark.checked = true;
    });
    limitComparing();
  });
  limitComparing();

  document.addEventListener("click", async (event) => {
    const opener = event.target.closest?.("[data-dialog]");
    if (opener) {
      event.preventDefault();
      document.getElementById(opener.dataset.dialog)?.showModal();
    }
    if (event.target.closest?.("[data-close]")) event.target.closest("dialog")?.close();
    const copier = event.target.closest?.("[data-copy]");
    if (copier) {
      await navigator.clipboard.writeText(document.getElementById(copier.dataset.copy).value);
      say(copier.dataset.done);
    }
  });

  const say = (text) => {
    const toasts = document.querySelector("[data-toasts]");
    if (!toasts || !text) return;
    const toast = document.createElement("div");
    toast.className = "toast";
    toast.textContent = text;
    toasts.replaceChildren(toast);
    setTimeout(() => toast.remove(), 4000);
  };

  // The live line: say when it is broken, and that it mends itself.
  document.addEventListener("htmx:sseError", () => {
    document.querySelectorAll("[data-live-broken]").forEach((note) => {
      note.hidden = false;
    });
  });
  document.addEventListener("htmx:sseOpen", () => {
    document.querySelectorAll("[data-live-broken]").forEach((note) => {
      note.hidden = true;
    });
  });
})();

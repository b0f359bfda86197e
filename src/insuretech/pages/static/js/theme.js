// The theme switch answers at once; the choice is kept by the same form that works without JavaScript.
(() => {
  const form = document.querySelector("[data-preferences]");
  if (!form) return;
  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button || button.name !== "theme") return;
    event.preventDefault();
    document.documentElement.dataset.theme = button.value;
    const data = new FormData(form);
    data.set("theme", button.value);
    fetch(form.action, { method: "POST", body: new URLSearchParams(data), redirect: "manual" });
    const other = form.querySelector(`[name="theme"]:not([value="${button.value}"])`);
    if (other) other.focus();
  });
})();

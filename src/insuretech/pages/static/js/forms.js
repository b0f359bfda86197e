// Focus on errors, and one submit at a time.
(() => {
  document.querySelector("[data-focus]")?.focus();

  // A second click while the first is on its way does nothing; the server would take both as one anyway.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    if (event.defaultPrevented || form.target || form.matches("[data-preferences]")) return;
    form.dataset.sent = "1";
  });
  window.addEventListener("pageshow", () => {
    document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent);
  });
})();

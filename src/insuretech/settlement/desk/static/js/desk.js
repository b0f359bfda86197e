// Keys for lists and cases, and the progress of an upload. Everything works without this file.
(() => {
  const typing = (target) => target.closest("input, select, textarea, [contenteditable]");
  const rows = () => [...document.querySelectorAll("[data-rows] [data-row] a")];

  const move = (step) => {
    const links = rows();
    const here = links.indexOf(document.activeElement);
    const next = links[Math.min(links.length - 1, Math.max(0, here < 0 ? 0 : here + step))];
    if (next) next.focus();
    return Boolean(next);
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const key = { о: "j", л: "k", ".": "/" }[event.key.toLowerCase()] ?? event.key.toLowerCase();
    if (key === "/" || event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    } else if (key === "j" || key === "k") {
      const neighbour = document.querySelector(`[data-key="${key}"]`);
      if (neighbour) neighbour.click();
      else if (move(key === "j" ? 1 : -1)) event.preventDefault();
    } else if (key === "c") {
      const comment = document.querySelector("[data-comment]");
      if (comment) {
        event.preventDefault();
        comment.focus();
      }
    }
  });

  const form = document.querySelector("[data-upload]");
  if (!form) return;
  form.addEventListener("submit", (event) => {
    const bar = form.querySelector("[data-progress]");
    if (!bar || event.defaultPrevented) return;
    event.preventDefault();
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.upload.addEventListener("progress", (part) => {
      if (part.lengthComputable) bar.value = (100 * part.loaded) / part.total;
    });
    // The answer is a page: either where the form leads, or one that says what is wrong.
    request.addEventListener("load", () => {
      if (request.status < 400) {
        window.location.assign(request.responseURL);
        return;
      }
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      document.querySelector("main").replaceWith(page.querySelector("main"));
      document.title = page.title;
    });
    request.addEventListener("error", () => {
      delete form.dataset.sent;
      bar.hidden = true;
      form.submit();
    });
    bar.hidden = false;
    request.send(new FormData(form));
  });
})();

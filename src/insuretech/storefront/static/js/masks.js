// Masks help while typing; the server normalises and checks again, so nothing depends on them.
(() => {
  const CYRILLIC = { A: "А", B: "В", C: "С", E: "Е", H: "Н", K: "К", M: "М", O: "О", P: "Р", T: "Т", X: "Х", Y: "У" };
  const LATIN = Object.fromEntries(Object.entries(CYRILLIC).map(([latin, cyrillic]) => [cyrillic, latin]));
  const digits = (text) => text.replace(/\D/g, "");
  const grouped = (text, groups, separators) => {
    let rest = text;
    let out = "";
    groups.forEach((size, index) => {
      if (rest.length === 0) return;
      out += (index > 0 ? separators[index - 1] : "") + rest.slice(0, size);
      rest = rest.slice(size);
    });
    return out;
  };

  const masks = {
    plate: (text) =>
      [...text.toUpperCase()]
        .map((letter) => CYRILLIC[letter] || letter)
        .filter((letter) => /[АВЕКМНОРСТУХ0-9]/.test(letter))
        .join("")
        .slice(0, 9),
    vin: (text) =>
      [...text.toUpperCase()]
        .map((letter) => LATIN[letter] || letter)
        .filter((letter) => /[A-HJ-NPR-Z0-9]/.test(letter))
        .join("")
        .slice(0, 17),
    licence: (text) => {
      const kept = [...text.toUpperCase()].map((letter) => CYRILLIC[letter] || letter).join("").replace(/[^0-9А-Я]/g, "");
      return grouped(kept.slice(0, 10), [2, 2, 6], [" ", " "]);
    },
    passport: (text) => grouped(digits(text).slice(0, 10), [4, 6], [" "]),
    date: (text) => grouped(digits(text).slice(0, 8), [2, 2, 4], [".", "."]),
    phone: (text) => {
      let kept = digits(text);
      if (kept === "") return "";
      if (kept[0] === "8") kept = "7" + kept.slice(1);
      if (kept[0] !== "7") kept = "7" + kept;
      return "+" + grouped(kept.slice(0, 11), [1, 3, 3, 2, 2], [" ", " ", "-", "-"]);
    },
    number: (text) => digits(text).slice(0, 12).replace(/\B(?=(\d{3})+(?!\d))/g, " "),
  };

  const apply = (input) => {
    const mask = masks[input.dataset.mask];
    if (!mask) return;
    const formatted = mask(input.value);
    if (formatted === input.value) return;
    // The caret stays behind the same letter or digit it stood behind.
    const kept = input.value.slice(0, input.selectionEnd).replace(/[^0-9A-Za-zА-Яа-я]/g, "").length;
    const atEnd = input.selectionEnd === input.value.length;
    input.value = formatted;
    let caret = formatted.length;
    if (!atEnd) {
      let seen = 0;
      caret = 0;
      while (caret < formatted.length && seen < kept) {
        if (/[0-9A-Za-zА-Яа-я]/.test(formatted[caret])) seen += 1;
        caret += 1;
      }
    }
    if (document.activeElement === input) input.setSelectionRange(caret, caret);
  };

  document.addEventListener("input", (event) => {
    if (event.target.matches?.("[data-mask]")) apply(event.target);
  });
  document.querySelectorAll("[data-mask]").forEach(apply);
})();

// The list of images: sorted by a figure, filtered by a text.
ready(() => {
  const list = document.querySelector(".entries");
  const entries = [...list.children];
  const [find, sort, asked, turn, count] = ["find", "sort", "asked", "turn", "count"].map((id) => document.getElementById(id));
  const order = new Map(entries.map((entry, index) => [entry, index]));
  const names = new Map(entries.map((entry) => [entry, entry.dataset.name.toLowerCase()]));
  const collator = new Intl.Collator(undefined, { numeric: true });

  // A figure of an entry at the number of colours chosen; null if it has none.
  const figure = (entry, name) => {
    if (name === "pixels") return Number(entry.dataset.pixels);
    const results = [...entry.querySelectorAll("[data-asked]")];
    const result = asked ? results.find((each) => each.dataset.asked === asked.value) : results.at(-1);
    const text = result && result.querySelector({ saved: ".s", psnr: ".p", likelihood: ".l" }[name]).value;
    if (!text || (name === "saved" && !entry.dataset.bytes)) return null;
    return name === "saved" ? Number(entry.dataset.bytes) - Number(text) : Number(text);
  };

  const arrange = () => {
    const name = sort.value;
    const direction = turn.getAttribute("aria-pressed") === "true" ? -1 : 1;
    const values = new Map(entries.map((entry) => [entry, name && name !== "name" ? figure(entry, name) : 0]));
    const compare = (a, b) => {
      const [x, y] = [values.get(a), values.get(b)];
      if ((x === null) !== (y === null)) return x === null ? 1 : -1;
      const before = name === "name" ? collator.compare(names.get(a), names.get(b)) : y - x;
      return direction * (before || order.get(a) - order.get(b));
    };
    list.append(...[...entries].sort(compare));
  };

  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    entries.forEach((entry) => {
      const matches = words.every((word) => names.get(entry).includes(word));
      entry.hidden = !matches;
      shown += matches;
    });
    const [some, all] = [shown, entries.length].map((value) => value.toLocaleString("en"));
    count.textContent = `${shown === entries.length ? all : `${some} of ${all}`} image${entries.length === 1 ? "" : "s"}`;
  };

  let timer;
  find.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(filter, 80); });
  [sort, asked].forEach((choice) => choice && choice.addEventListener("change", arrange));
  turn.addEventListener("click", () => {
    turn.setAttribute("aria-pressed", String(turn.getAttribute("aria-pressed") !== "true"));
    arrange();
  });
  filter(); // a browser may have kept a text from before
  arrange();
});

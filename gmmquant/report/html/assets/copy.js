// Buttons that copy a text, and the line that says so.
ready(() => {
  const line = document.querySelector(".said");
  let timer;

  const say = (text) => {
    clearTimeout(timer);
    line.textContent = text;
    timer = setTimeout(() => { line.textContent = ""; }, 2500);
  };

  // The way of browsers that have no clipboard for files.
  const copyBySelection = (text) => {
    const field = document.createElement("textarea");
    const focused = document.activeElement;
    field.value = text;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    focused.focus();
    if (!copied) throw new Error("refused");
  };

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      copyBySelection(text);
    }
  };

  each("[data-copy]", (button) => button.addEventListener("click", async () => {
    const text = button.dataset.copy;
    try {
      await copy(text);
      say(`Copied ${button.dataset.said || text}`);
    } catch {
      say(`This browser does not copy: ${text}`);
    }
  }));
});

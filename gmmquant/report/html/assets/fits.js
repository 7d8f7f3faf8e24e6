// Which fit is shown: the radio buttons, the keys 1 to 9, and all parts of the page that belong to a fit.
ready(() => {
  const choices = [...document.querySelectorAll("input[name=fit]")];
  if (!choices.length) return;

  const show = () => {
    const chosen = choices.findIndex((choice) => choice.checked);
    each("[data-fit]", (part) => part.classList.toggle("off", Number(part.dataset.fit) !== chosen));
    each("[data-mark]", (mark) => mark.classList.toggle("now", Number(mark.dataset.mark) === chosen));
    each("[data-row]", (row) => row.classList.toggle("now", choices.length > 1 && Number(row.dataset.row) === chosen));
    choices[chosen].parentElement.scrollIntoView({ block: "nearest", inline: "nearest" });
    document.dispatchEvent(new CustomEvent("fit", { detail: chosen }));
  };

  choices.forEach((choice) => choice.addEventListener("change", show));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !/^[1-9]$/.test(event.key)) return;
    const choice = choices[Number(event.key) - 1];
    if (!choice || choice.checked) return;
    choice.checked = true;
    show();
  });
  show();
});

// Before the page is drawn: what needs scripts is shown, and what is only for pages without them is not.
document.documentElement.classList.add("js");
const ready = (action) => document.addEventListener("DOMContentLoaded", action);
const each = (selector, action) => document.querySelectorAll(selector).forEach(action);

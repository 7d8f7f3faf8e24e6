// The original and a result, one over the other: a border that moves, zoom to whole device pixels, and panning.
ready(() => {
  const stage = document.querySelector(".stage");
  const slider = document.getElementById("split");
  const handle = stage.querySelector(".handle");
  const level = document.querySelector(".level");
  const [width, height] = [Number(stage.dataset.width), Number(stage.dataset.height)];
  const largest = 64;
  let zoom = 0; // device pixels for one of the image; 0: as large as fits
  let center = [width / 2, height / 2]; // the pixel of the image in the middle of the stage
  let box = { left: 0, top: 0, scale: 1, from: 0, to: 1 };

  const density = () => window.devicePixelRatio || 1;

  // The scale at which the image fits: a whole multiple if it is enlarged, unless that leaves much of the room.
  const fitting = () => {
    const within = (share) => Math.min(stage.clientWidth / width, Math.max(260, share * window.innerHeight) / height);
    const scale = within(0.74);
    const multiple = Math.floor(within(0.84) * density());
    return multiple >= 1 && multiple > 0.7 * scale * density() ? multiple / density() : scale;
  };

  const place = () => {
    const fit = fitting();
    stage.style.height = `${Math.round(Math.max(height * fit, 160))}px`;
    const scale = zoom ? zoom / density() : fit;
    const [across, down] = [stage.clientWidth, stage.clientHeight];
    const limit = (middle, size, room) => {
      const half = room / scale / 2;
      return size <= 2 * half ? size / 2 : Math.min(Math.max(middle, half), size - half);
    };
    center = [limit(center[0], width, across), limit(center[1], height, down)];
    const snapped = (value) => Math.round(value * density()) / density();
    const left = snapped(across / 2 - center[0] * scale);
    const top = snapped(down / 2 - center[1] * scale);
    box = { left, top, scale, from: Math.max(0, left), to: Math.min(across, left + width * scale) };
    each(".stage img", (image) => {
      image.style.transform = `translate(${left}px, ${top}px) scale(${scale * width / image.width})`;
      image.style.setProperty("--checker", `${16 / scale}px`);
    });
    stage.classList.toggle("movable", movable());
    const pixels = scale * density();
    const whole = pixels > 0.999 && Math.abs(pixels - Math.round(pixels)) < 1e-6;
    stage.classList.toggle("crisp", whole);
    level.textContent = whole ? `${Math.round(pixels)} : 1` : `${Math.round(100 * pixels)} %`;
    document.querySelector("[data-zoom='1']").disabled = zoom >= largest;
    document.querySelector("[data-zoom='-1']").disabled = zoom === 0;
    split();
  };

  const movable = () => width * box.scale > stage.clientWidth + 1 || height * box.scale > stage.clientHeight + 1;

  const split = () => {
    const x = box.from + (box.to - box.from) * slider.value / 100;
    each(".after", (figure) => { figure.style.clipPath = `inset(0 0 0 ${x.toFixed(1)}px)`; });
    handle.style.transform = `translateX(${x.toFixed(1)}px)`;
    slider.setAttribute("aria-valuetext", `${Math.round(slider.value)} % original`);
  };

  const splitAt = (x) => {
    const share = (x - stage.getBoundingClientRect().left - box.from) / Math.max(1, box.to - box.from);
    slider.value = 100 * Math.min(1, Math.max(0, share));
    split();
  };

  // Zoom to a level, the point (x, y) of the stage staying where it is.
  const zoomTo = (next, x = stage.clientWidth / 2, y = stage.clientHeight / 2) => {
    const at = [(x - box.left) / box.scale, (y - box.top) / box.scale];
    zoom = next;
    const scale = zoom ? zoom / density() : fitting();
    center = [at[0] + (stage.clientWidth / 2 - x) / scale, at[1] + (stage.clientHeight / 2 - y) / scale];
    place();
  };

  // The next level, by factors of two; below the one that fits there is none.
  const step = (direction, x, y) => {
    const fit = fitting() * density();
    const now = zoom || fit;
    if (direction > 0) {
      zoomTo(Math.min(largest, 2 ** Math.floor(Math.log2(now) + 1.0001)), x, y);
    } else {
      const next = 2 ** Math.ceil(Math.log2(now) - 1.0001);
      zoomTo(next <= fit || next < 1 ? 0 : next, x, y);
    }
  };

  const move = (x, y) => {
    center = [center[0] - x / box.scale, center[1] - y / box.scale];
    place();
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const moves = movable() && !handle.contains(event.target);
    let last = [event.clientX, event.clientY];
    if (!moves) splitAt(event.clientX);
    stage.setPointerCapture(event.pointerId);
    const drag = (next) => {
      if (moves) move(next.clientX - last[0], next.clientY - last[1]);
      else splitAt(next.clientX);
      last = [next.clientX, next.clientY];
    };
    const end = () => {
      stage.removeEventListener("pointermove", drag);
      stage.removeEventListener("pointerup", end);
      stage.removeEventListener("pointercancel", end);
    };
    stage.addEventListener("pointermove", drag);
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", end);
  });

  const inside = (event) => {
    const corner = stage.getBoundingClientRect();
    return [event.clientX - corner.left, event.clientY - corner.top];
  };
  stage.addEventListener("dblclick", (event) => zoomTo(zoom ? 0 : Math.max(4, Math.ceil(2 * box.scale)), ...inside(event)));
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // the wheel alone scrolls the page
    event.preventDefault();
    step(event.deltaY < 0 ? 1 : -1, ...inside(event));
  }, { passive: false });

  each("[data-zoom]", (button) => button.addEventListener("click", () => {
    const direction = Number(button.dataset.zoom);
    if (direction) step(direction);
    else zoomTo(0);
  }));

  stage.tabIndex = 0;
  stage.setAttribute("role", "group");
  stage.setAttribute("aria-label", "Comparison; plus and minus zoom, arrow keys move the border or a zoomed image");
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "+" || event.key === "=") step(1);
    else if (event.key === "-") step(-1);
    else if (event.key === "0") zoomTo(0);
    else if (event.key in arrows) {
      const [x, y] = arrows[event.key];
      if (movable()) move(-48 * x, -48 * y);
      else if (x) { slider.value = Number(slider.value) + 2 * x; split(); } else return;
    } else return;
    event.preventDefault();
  });

  slider.addEventListener("input", split);
  new ResizeObserver(place).observe(stage);
  window.addEventListener("resize", place);
  place();
});

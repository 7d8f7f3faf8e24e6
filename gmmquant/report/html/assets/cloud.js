// The colours as points in the RGB cube, turned by hand: projected here, with a depth for each pixel of the canvas.
ready(() => {
  const canvas = document.getElementById("cloud");
  const pen = canvas.getContext("2d");
  const layer = document.createElement("canvas");
  const brush = layer.getContext("2d");
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const points = bytes(canvas.dataset.points);
  const stride = 73; // the mean and three sections of 24 points
  const chroma = (red, green, blue) => [(red - green) * Math.SQRT1_2, (red + green - 2 * blue) / Math.sqrt(6)];

  // Turned so that the direction in which the hues spread most lies across.
  const widest = () => {
    const sums = [0, 0, 0, 0, 0];
    const n = points.length / 3;
    for (let i = 0; i < points.length; i += 3) {
      const [x, z] = chroma(points[i], points[i + 1], points[i + 2]);
      [x, z, x * x, z * z, x * z].forEach((value, at) => { sums[at] += value / n; });
    }
    const [x, z, xx, zz, xz] = sums;
    return 0.5 * Math.atan2(2 * (xz - x * z), xx - x * x - zz + z * z);
  };
  const home = { turn: widest(), tilt: 0.2, size: 1 };
  let view = { ...home };
  let components = [];
  let marked = -1;
  let waiting = false;

  const corners = [
    [0, 0, 0, "black"], [1, 0, 0, "red"], [0, 1, 0, "green"], [0, 0, 1, "blue"],
    [1, 1, 0, "yellow"], [1, 0, 1, "magenta"], [0, 1, 1, "cyan"], [1, 1, 1, "white"],
  ];
  const edges = corners.flatMap((a, i) => corners.slice(i + 1)
    .filter((b) => Math.abs(a[0] - b[0]) + Math.abs(a[1] - b[1]) + Math.abs(a[2] - b[2]) === 1).map((b) => [a, b]));

  // The cube stands on black: the greys are the vertical, about which it is turned; then it is tilted. Returns x and y in
  // pixels, and the depth.
  const projection = (width, height) => {
    const [s, c] = [Math.sin(view.turn), Math.cos(view.turn)];
    const [t, d] = [Math.sin(view.tilt), Math.cos(view.tilt)];
    const unit = 0.46 * Math.min(height, width) * view.size;
    return (red, green, blue) => {
      const [x, z] = chroma(red, green, blue);
      const y = (red + green + blue - 1.5) / Math.sqrt(3);
      const [across, deep] = [c * x + s * z, c * z - s * x];
      const depth = d * deep + t * y;
      const near = unit / (1 - 0.18 * depth);
      return [width / 2 + across * near, height / 2 - (d * y - t * deep) * near, depth];
    };
  };

  const drawPoints = (project, width, height, size) => {
    const image = brush.createImageData(width, height);
    const colors = new Uint32Array(image.data.buffer);
    const depths = new Float32Array(width * height).fill(-9);
    for (let i = 0; i < points.length; i += 3) {
      const [x, y, depth] = project(points[i] / 255, points[i + 1] / 255, points[i + 2] / 255);
      const color = 0xff000000 | points[i + 2] << 16 | points[i + 1] << 8 | points[i];
      const [left, top] = [Math.round(x - size / 2), Math.round(y - size / 2)];
      for (let row = Math.max(0, top); row < Math.min(height, top + size); row++) {
        for (let column = Math.max(0, left); column < Math.min(width, left + size); column++) {
          const at = row * width + column;
          if (depth > depths[at]) {
            depths[at] = depth;
            colors[at] = color;
          }
        }
      }
    }
    brush.putImageData(image, 0, 0);
    pen.drawImage(layer, 0, 0);
  };

  const line = (places, closed) => {
    pen.beginPath();
    places.forEach(([x, y]) => pen.lineTo(x, y));
    if (closed) pen.closePath();
  };

  const drawCube = (project, dense, ink) => {
    pen.strokeStyle = pen.fillStyle = ink;
    pen.lineWidth = dense;
    pen.globalAlpha = 0.3;
    edges.forEach((pair) => { line(pair.map((corner) => project(...corner))); pen.stroke(); });
    pen.globalAlpha = 0.75;
    pen.font = `${11 * dense}px system-ui, sans-serif`;
    const [cx, cy] = project(0.5, 0.5, 0.5);
    corners.forEach((corner) => {
      const [x, y] = project(...corner);
      const far = Math.hypot(x - cx, y - cy) || 1;
      pen.textAlign = Math.abs(x - cx) < 0.25 * far ? "center" : x > cx ? "left" : "right";
      pen.textBaseline = "middle";
      pen.fillText(corner[3], x + 10 * dense * (x - cx) / far, y + 12 * dense * (y - cy) / far);
    });
    pen.globalAlpha = 1;
  };

  const drawComponent = (component, project, dense, ink, paper, strong) => {
    const at = (i) => project(...component.places.slice(3 * i, 3 * i + 3));
    const outline = (width, color) => {
      pen.lineWidth = width;
      pen.strokeStyle = color;
      for (let section = 1; section < stride; section += 24) {
        line(Array.from({ length: 24 }, (_, i) => at(section + i)), true);
        pen.stroke();
      }
    };
    outline((strong ? 5 : 2.75) * dense, paper);
    outline((strong ? 2.5 : 1) * dense, ink);
    const [x, y] = at(0);
    pen.beginPath();
    pen.arc(x, y, (strong ? 1.5 : 1) * Math.min(6, Math.max(3.5, canvas.clientWidth / 110)) * dense, 0, 7);
    pen.fillStyle = component.color;
    pen.fill();
    pen.lineWidth = 2 * dense;
    pen.strokeStyle = ink;
    pen.stroke();
    if (!strong) return;
    pen.font = `600 ${13 * dense}px ui-monospace, monospace`;
    pen.textAlign = x > canvas.width / 2 ? "right" : "left";
    pen.textBaseline = "middle";
    pen.strokeStyle = paper;
    pen.fillStyle = ink;
    pen.lineWidth = 5 * dense;
    const beside = x + (x > canvas.width / 2 ? -16 : 16) * dense;
    pen.strokeText(component.color, beside, y);
    pen.fillText(component.color, beside, y);
  };

  const draw = () => {
    waiting = false;
    const dense = Math.min(2, window.devicePixelRatio || 1);
    const [width, height] = [Math.round(canvas.clientWidth * dense), Math.round(canvas.clientHeight * dense)];
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) {
      [canvas.width, canvas.height, layer.width, layer.height] = [width, height, width, height];
    }
    const style = getComputedStyle(canvas);
    const [ink, paper] = [style.color, style.backgroundColor];
    const project = projection(width, height);
    pen.clearRect(0, 0, width, height);
    pen.lineJoin = "round";
    drawCube(project, dense, ink);
    if (document.getElementById("show-points").checked) {
      drawPoints(project, width, height, Math.max(1, Math.round(1.6 * dense * Math.sqrt(view.size))));
    }
    if (document.getElementById("show-components").checked) {
      components.forEach((component) => drawComponent(component, project, dense, ink, paper, false));
      if (components[marked]) drawComponent(components[marked], project, dense, ink, paper, true);
    }
  };

  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  };

  const turn = (across, up) => {
    view.turn += across;
    view.tilt = Math.min(1.5, Math.max(-1.5, view.tilt + up));
    redraw();
  };
  const enlarge = (factor) => {
    view.size = Math.min(8, Math.max(0.5, view.size * factor));
    redraw();
  };

  const mark = (index) => {
    if (index === marked) return;
    marked = index;
    redraw();
  };

  document.addEventListener("fit", ({ detail }) => {
    const part = document.querySelector(`section[data-fit="${detail}"]`);
    const places = new Int16Array(bytes(part.dataset.outlines).buffer);
    const colors = [...part.querySelectorAll(".swatches [data-component]")].map((button) => button.dataset.copy);
    components = Array.from({ length: places.length / (3 * stride) }, (_, i) => ({
      color: colors[i],
      places: Array.from(places.slice(3 * stride * i, 3 * stride * (i + 1)), (value) => value / 8192),
    }));
    document.querySelector(".needs-many").hidden = colors.length === components.length;
    marked = -1;
    redraw();
  });
  each("[data-component]", (button) => {
    const index = Number(button.dataset.component);
    ["pointerenter", "focus"].forEach((name) => button.addEventListener(name, () => mark(index)));
    ["pointerleave", "blur"].forEach((name) => button.addEventListener(name, () => mark(-1)));
  });

  // The component whose mean is under the pointer.
  const pick = (event) => {
    if (event.buttons) return;
    const corner = canvas.getBoundingClientRect();
    const project = projection(canvas.clientWidth, canvas.clientHeight);
    const distances = components.map(({ places }) => {
      const [x, y] = project(...places.slice(0, 3));
      return Math.hypot(x - event.clientX + corner.left, y - event.clientY + corner.top);
    });
    const nearest = distances.indexOf(Math.min(...distances));
    mark(distances[nearest] < 12 ? nearest : -1);
  };
  canvas.addEventListener("pointermove", pick);
  canvas.addEventListener("pointerleave", () => mark(-1));

  canvas.addEventListener("pointerdown", (event) => {
    let last = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
    const drag = (next) => {
      turn((next.clientX - last[0]) / 140, (next.clientY - last[1]) / 140);
      last = [next.clientX, next.clientY];
    };
    const end = () => ["pointermove", "pointerup", "pointercancel"].forEach((name) => canvas.removeEventListener(name, name === "pointermove" ? drag : end));
    canvas.addEventListener("pointermove", drag);
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, -0.12], ArrowDown: [0, 0.12] };
    if (event.key in arrows) turn(...arrows[event.key]);
    else if (event.key === "+" || event.key === "=") enlarge(1.2);
    else if (event.key === "-") enlarge(1 / 1.2);
    else if (event.key === "0") { view = { ...home }; redraw(); } else return;
    event.preventDefault();
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    enlarge(event.deltaY < 0 ? 1.1 : 1 / 1.1);
  }, { passive: false });
  ["show-points", "show-components"].forEach((id) => document.getElementById(id).addEventListener("change", redraw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(redraw).observe(canvas);
});

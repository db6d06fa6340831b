// The viewer of one image: NiiVue draws the volume that the page names, and its controls are plain form fields, so that all of it works by keyboard.
// Where the browser has no WebGL 2 the picture below is opened instead. The volume comes from an address that asks the policy each time.
const place = document.getElementById("viewer");
const said = document.getElementById("viewer-said");
const stage = place.querySelector(".stage");
const controls = place.querySelector(".controls");
const canvas = document.getElementById("canvas");
const masks = [...controls.querySelectorAll("[data-mask]")];
const opacity = document.getElementById("opacity");
const COLOURS = ["red", "green", "blue", "violet", "winter", "warm"];

function say(word) {
  said.textContent = place.dataset[word];
}

function instead(word) {
  say(word);
  stage.hidden = controls.hidden = true;
  const picture = document.getElementById("instead");
  if (picture) picture.open = true;
}

function hasWebGL2() {
  return Boolean(document.createElement("canvas").getContext("webgl2"));
}

// What is laid over the image now: the masks that are ticked, each in a colour of its own.
function layers() {
  const chosen = masks.filter((mask) => mask.checked);
  return [
    { url: place.dataset.url, name: "volume.nii.gz", colormap: "gray", limitFrames4D: 3 },
    ...chosen.map((mask) => ({
      url: mask.dataset.mask, name: "mask.nii.gz", colormap: COLOURS[masks.indexOf(mask) % COLOURS.length], opacity: Number(opacity.value), cal_min: 0.5, cal_max: 1,
    })),
  ];
}

async function show() {
  say("loading");
  document.getElementById("viewer-load").hidden = true;
  stage.hidden = false;
  try {
    const { Niivue } = await import(place.dataset.niivue);
    const viewer = new Niivue({
      isResizeCanvas: true, show3Dcrosshair: true, loadingText: "", dragAndDropEnabled: false, isOrientCube: true, logLevel: "error",
      crosshairColor: [0.45, 0.75, 1, 0.9], crosshairWidthUnit: "mm", crosshairWidth: 0.8, // not the colour of a mask
    });
    await viewer.attachToCanvas(canvas);
    await viewer.loadVolumes(layers());
    wire(viewer);
    viewer.setSliceType(3);
    controls.hidden = false;
    place.dataset.state = "drawn";
    say("drawn");
  } catch (error) {
    place.dataset.state = "failed";
    console.warn(`the volume was not drawn: ${error.name}`);
    instead("failed");
  }
}

function wire(viewer) {
  for (const plane of controls.querySelectorAll('[name="plane"]')) {
    plane.addEventListener("change", () => viewer.setSliceType(Number(plane.value)));
  }
  const axes = [...controls.querySelectorAll("[data-axis]")];
  for (const axis of axes) {
    axis.addEventListener("input", () => {
      viewer.scene.crosshairPos[Number(axis.dataset.axis)] = Number(axis.value);
      viewer.drawScene();
    });
  }
  viewer.onLocationChange = (where) => {
    where.frac.slice(0, 3).forEach((part, n) => { axes[n].value = part; });
  };
  const [first] = viewer.volumes;
  const [low, high] = [first.cal_min, first.cal_max];
  const dark = document.getElementById("dark");
  const bright = document.getElementById("bright");
  for (const end of [dark, bright]) {
    end.addEventListener("input", () => {
      first.cal_min = low + (high - low) * Number(dark.value);
      first.cal_max = low + (high - low) * Math.max(Number(bright.value), Number(dark.value) + 0.01);
      viewer.updateGLVolume();
    });
  }
  opacity?.addEventListener("input", () => {
    for (let n = 1; n < viewer.volumes.length; n += 1) viewer.setOpacity(n, Number(opacity.value));
  });
  for (const mask of masks) {
    mask.addEventListener("change", async () => {
      say("loading");
      await viewer.loadVolumes(layers());
      say("drawn");
    });
  }
}

if (!hasWebGL2()) {
  instead("without");
} else if (place.dataset.large) {
  const button = document.getElementById("viewer-load");
  button.hidden = false;
  button.addEventListener("click", show);
} else {
  show();
}

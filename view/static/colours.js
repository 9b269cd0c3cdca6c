// The colours that a log asks for, made so that they can be read: in both themes,
// on whatever ground. Each pair of colours that occurs becomes a class.
const themes = [
  { ink: 0x1b1f1e, ground: 0xffffff },
  { ink: 0xe4e8e6, ground: 0x171c1b },
];
const readable = 5.2; // : 1, a little more than the 4.5 it has to be on a line that is selected
const most = 2000; // classes; a log with more colours than that gets no more of them

const sixteen = [
  0x000000, 0xb42020, 0x1f7a34, 0x8a6100, 0x2457b8, 0x9133a8, 0x0b7078, 0xb8bfbc,
  0x6d7673, 0xe5484d, 0x3fb950, 0xd9a514, 0x5b96ff, 0xcf7be0, 0x3dc4c4, 0xffffff,
];
const steps = [0, 95, 135, 175, 215, 255];

// rgb is the colour of a number: 0 to 255 as xterm has them, or 1<<24 | rrggbb.
function rgb(colour) {
  if (colour >= 1 << 24) return colour & 0xffffff;
  if (colour < 16) return sixteen[colour];
  if (colour >= 232) return (8 + 10 * (colour - 232)) * 0x010101;
  const c = colour - 16;
  return (steps[Math.floor(c / 36)] << 16) | (steps[Math.floor(c / 6) % 6] << 8) | steps[c % 6];
}

const channels = (c) => [c >> 16, (c >> 8) & 255, c & 255];

function luminance(colour) {
  const [r, g, b] = channels(colour).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function contrast(a, b) {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

// legible is a colour as near to what was asked for as can be read on a ground.
function legible(colour, ground) {
  const towards = contrast(0, ground) > contrast(0xffffff, ground) ? 0 : 255;
  for (let part = 0; part < 1; part += 0.05) {
    const [r, g, b] = channels(colour).map((v) => Math.round(v + (towards - v) * part));
    const mixed = (r << 16) | (g << 8) | b;
    if (contrast(mixed, ground) >= readable) return mixed;
  }
  return towards * 0x010101;
}

const css = (colour) => `#${colour.toString(16).padStart(6, "0")}`;
const sheet = new CSSStyleSheet();
document.adoptedStyleSheets.push(sheet);
const classes = new Map();

// colourClass is the class of a pair of colours, each a number or null.
export function colourClass(fg, bg, inverse) {
  if (fg === null && bg === null && !inverse) return "";
  const key = `${fg},${bg},${inverse}`;
  let name = classes.get(key);
  if (name !== undefined) return name;
  if (classes.size >= most) return "";
  name = `c${classes.size}`;
  const [light, dark] = themes.map(({ ink, ground }) => {
    let front = fg === null ? ink : rgb(fg), back = bg === null ? ground : rgb(bg);
    if (inverse) [front, back] = [back, front];
    return { front: css(legible(front, back)), back: css(back) };
  });
  const back = bg === null && !inverse ? "" : `background-color: light-dark(${light.back}, ${dark.back});`;
  sheet.insertRule(`.${name} { color: light-dark(${light.front}, ${dark.front}); ${back} }`);
  classes.set(key, name);
  return name;
}

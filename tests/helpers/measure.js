// Measures a page as it is shown: every list that is returned should be empty.
(() => {
  document.querySelectorAll("details").forEach((d) => { d.open = true; });
  const outside = [], overlapping = [], cut = [], wide = [];
  const say = (e) => (e.textContent || e.className).trim().slice(0, 40);
  const where = (r) => `${r.left.toFixed(1)},${r.top.toFixed(1)} ${r.width.toFixed(1)}x${r.height.toFixed(1)}`;
  let texts = 0;
  for (const svg of document.querySelectorAll("svg")) {
    const frame = svg.getBoundingClientRect();
    if (!frame.width) { continue; }
    const seen = [];
    for (const text of svg.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      texts += 1;
      const slack = 0.75;
      if (box.left < frame.left - slack || box.right > frame.right + slack
          || box.top < frame.top - slack || box.bottom > frame.bottom + slack) {
        outside.push(`${say(text)}: ${where(box)} in ${where(frame)}`);
      }
      // The height of the letters, not of the line: lines of a page touch, too.
      const size = parseFloat(getComputedStyle(text).fontSize) * frame.width / svg.viewBox.baseVal.width;
      const middle = (box.top + box.bottom) / 2;
      const letters = { left: box.left, right: box.right, top: middle - size * 0.4, bottom: middle + size * 0.4 };
      for (const [name, other] of seen) {
        const x = Math.min(letters.right, other.right) - Math.max(letters.left, other.left);
        const y = Math.min(letters.bottom, other.bottom) - Math.max(letters.top, other.top);
        if (x > 0.5 && y > 0.5) { overlapping.push(`${say(text)} on ${name}`); }
      }
      seen.push([say(text), letters]);
    }
    if (svg.closest(".chart") && frame.width > 520) { wide.push(`${frame.width} px: ${svg.getAttribute("aria-label")}`); }
  }
  const limit = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > limit + 1) {
    cut.push(`the page is ${document.documentElement.scrollWidth} px wide in a window of ${limit}`);
  }
  for (const box of document.querySelectorAll("nav, nav div, .scroll, pre, figure, article, p, li, td, th, dd, h1, h2, h3, h4")) {
    if (box.clientWidth && box.scrollWidth > box.clientWidth + 2) {
      cut.push(`${box.tagName}.${box.className} ${say(box)}: ${box.scrollWidth} px in ${box.clientWidth}`);
    }
  }
  for (const box of document.querySelectorAll("main *")) {
    const r = box.getBoundingClientRect();
    if (r.width && r.height && (r.right > limit + 1 || r.left < -1) && !box.closest("svg")) {
      cut.push(`${box.tagName}.${box.className} ${say(box)}: ${where(r)}`);
    }
  }
  return { texts, outside, overlapping, cut: cut.slice(0, 40), wide };
})()

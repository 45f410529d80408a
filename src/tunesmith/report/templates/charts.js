// Draws every figure of the page in the colours of its dress (light, dark, print), and again when the dress changes.
const style = getComputedStyle(document.documentElement);

function drawAll() {
  for (const holder of document.querySelectorAll("[data-figure]")) {
    const text = document.getElementById("figure-" + holder.dataset.figure).textContent;
    const dressed = text.replace(/"@(\w+)"/g, (_, name) => JSON.stringify(style.getPropertyValue("--" + name).trim()));
    const figure = JSON.parse(dressed);
    Plotly.react(holder, figure.data, figure.layout, { displayModeBar: false, responsive: true });
  }
}

drawAll();
for (const dress of ["(prefers-color-scheme: dark)", "print"]) matchMedia(dress).addEventListener("change", drawAll);

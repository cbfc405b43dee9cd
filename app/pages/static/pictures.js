// A picture of a payload: `src` is the picture itself, or `pages` the path of its drawn pages.
export async function loadPicture(src, pages, page, small = false) {
  if (!pages) return { url: src, count: 1 };
  const response = await fetch(`${pages}/${page}${small ? "?max_pixels=250000" : ""}`);
  if (!response.ok) {
    const { detail } = await response.json().catch(() => ({}));
    throw new Error(typeof detail === "string" ? detail : `the server answered ${response.status}`);
  }
  const [count, width, height] = ["Count", "Width", "Height"].map((name) => Number(response.headers.get(`X-Page-${name}`)));
  return { url: URL.createObjectURL(await response.blob()), count, width, height };
}

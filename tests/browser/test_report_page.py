"""The page of `train.report` in a real browser."""

import re

import pytest
from small import run_program

pytestmark = pytest.mark.browser

CONTRAST = """
() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (colour) => rgb(colour).slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (rgb(colour).length === 3 || rgb(colour)[3] > 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = [];
  for (const element of document.querySelectorAll('h1, h2, p, a, dt, dd, td, th, figcaption, li, '
      + 'pre, summary')) {
    const [a, b] = [light(getComputedStyle(element).color), light(background(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([ratio, element.textContent.slice(0, 40)]);
  }
  return found;
}
"""


@pytest.fixture(scope="module")
def address(digits_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    output = f"--output={folder}/report.html"
    flags = [f"--workdir={digits_run}", output, "--num_images=60", "--num_samples=10"]
    done = run_program("report", *flags)
    assert done.returncode == 0, done.stderr
    return f"file://{folder}/report.html"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1100])
def test_page(open_page, address, dark, width):
    page, noted = open_page(address, dark, width)
    assert not noted["errors"]
    assert [url for url in noted["fetched"] if not url.startswith("data:")] == [address]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # No element is wider than the page, with the table of flags open too.
    page.locator("summary").click()
    wide = page.evaluate(
        "() => [...document.querySelectorAll('main *')].filter((e) => !e.closest('.table') &&"
        " e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert wide == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", background)[:3]))
    assert brightness < 100 if dark else brightness > 700
    for contrast, text in page.evaluate(CONTRAST):
        assert contrast >= 4.5, f"{text!r}: {contrast:.2f}"
    images = page.evaluate(
        "[...document.images].map((i) => [i.naturalWidth, i.width,"
        " i.alt || i.closest('[role=img]')?.ariaLabel])"
    )
    assert len(images) > 20 and all(size > 0 and shown > 8 and alt for size, shown, alt in images)


def test_links_lead_to_sections(open_page, address):
    page, _ = open_page(address)
    for link in page.locator("nav a").all():
        link.click()
        target = page.locator(link.get_attribute("href"))
        assert target.locator("h2").inner_text() == link.inner_text()

"""A headless browser, pages opened in it, and the check that a page neither asked for anything nor
logged an error.
"""

import json
import shutil

import pytest

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
DRIVER = shutil.which("chromedriver")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1300,900",
)  # fmt: skip


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if CHROMIUM is None or DRIVER is None:
        pytest.skip(
            "no browser: chromium and chromedriver are not installed (Debian: apt-get install"
            " chromium chromium-driver)"
        )
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="selenium is not installed (pip install '.[test]')"
    )
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=DRIVER)
    )
    yield driver
    driver.quit()


@pytest.fixture
def open_html(browser, tmp_path):
    """Opens pages, and at the end holds that none of them had a console error or asked for anything
    but itself.
    """
    asked = []

    def open_page(html, name="page.html"):
        path = tmp_path / f"{len(asked)}-{name}"
        path.write_text(html, encoding="utf-8")
        asked.append(path.as_uri())
        browser.get(path.as_uri())
        assert browser.execute_script("return document.documentElement.dataset.ready") == "true"
        return Page(browser)

    browser.get("about:blank")
    browser.get_log("browser"), browser.get_log("performance")  # what came before this test
    yield open_page
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {
        message["params"]["request"]["url"]
        for message in sent
        if message["method"] == "Network.requestWillBeSent"
    }
    assert urls <= set(asked)


class Page:
    def __init__(self, browser):
        self.browser = browser

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def one(self, selector):
        return self.browser.find_element("css selector", selector)

    def box(self, name):
        return next(
            box
            for box in self.all("#stage .box")
            if box.find_elements("css selector", ".name, .row-name")[0].text == name
        )

    def click(self, element):
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def names(self):
        return [
            box.find_elements("css selector", ".name, .row-name")[0].text
            for box in self.all("#stage .box")
        ]

    def panel(self):
        return self.one("#panel").text

    def type(self, *keys):
        from selenium.webdriver import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

// Holds pages of `coldchain report --html` against what they promise, in Chromium: readable at each width, light and
// dark, by keys and on paper; no violation that axe-core finds, no message on the console, no request beyond the file.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const installed = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), "../../target/browser");
const require = createRequire(path.join(installed, "package.json"));
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const WIDTHS = [360, 800, 1400];
const SCHEMES = ["light", "dark"];

const words = process.argv.slice(2);
const screenshots = words[0] === "--screenshots" ? words.splice(0, 2)[1] : null;
if (words.length === 0) {
    console.error("usage: scripts/check-report [--screenshots DIR] FILE…");
    process.exit(2);
}

const faults = [];
const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // Root has no sandbox to give; the page is our own.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"],
});
try {
    for (const file of words) {
        await check(file);
    }
} finally {
    await browser.close();
}
for (const fault of faults) {
    console.error(fault);
}
console.log(`${words.length} pages, ${faults.length} faults`);
process.exit(faults.length === 0 ? 0 : 1);

async function check(file) {
    const url = pathToFileURL(path.resolve(file)).href;
    const name = path.basename(file, ".html");
    const page = await browser.newPage();
    let where = name;
    const fault = (text) => faults.push(`${where}: ${text}`);
    page.on("console", (message) => fault(`the console says ${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => fault(`an error on the page: ${error}`));
    page.on("dialog", (dialog) => { fault("a dialog opens"); dialog.dismiss(); });
    page.on("request", (request) => {
        if (request.url() !== url) fault(`it asks for ${request.url()}`);
    });
    await page.setOfflineMode(true);
    for (const width of WIDTHS) {
        for (const scheme of SCHEMES) {
            where = `${name}, ${width} px, ${scheme}`;
            await page.setViewport({ width, height: 900 });
            await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
            await page.goto(url);
            if (screenshots) await page.screenshot({ path: `${screenshots}/${name}-${width}-${scheme}.png`, fullPage: true });
            await fits(page, fault);
            await page.evaluate(() => document.querySelectorAll("details").forEach((it) => { it.open = true; }));
            await fits(page, fault);
            await axeFinds(page, fault);
            if (screenshots && scheme === "light") {
                await page.screenshot({ path: `${screenshots}/${name}-${width}-open.png`, fullPage: true });
            }
        }
    }
    where = `${name}, keys`;
    await byKeys(page, url, fault);
    where = `${name}, paper`;
    await onPaper(page, url, fault);
    await page.close();
}

// The page itself is never wider than the window; what is wide scrolls in a frame of its own.
async function fits(page, fault) {
    const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    if (wide > window) fault(`the page is ${wide} px wide, and the window ${window}`);
}

async function axeFinds(page, fault) {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    for (const { id, help, nodes } of violations) {
        fault(`${id}: ${help}: ${nodes.length} times, first ${nodes[0].html}`);
    }
}

// The first key leads to the link that skips to the report, and that leads there.
async function byKeys(page, url, fault) {
    await page.goto(url);
    await page.keyboard.press("Tab");
    const link = await page.evaluate(() => {
        const { left, top } = document.activeElement.getBoundingClientRect();
        return { name: document.activeElement.className, seen: left >= 0 && top >= 0 };
    });
    if (link.name !== "skip" || !link.seen) fault(`the first key leads to ${JSON.stringify(link)}`);
    await page.keyboard.press("Enter");
    const at = await page.evaluate(() => document.activeElement.id);
    if (at !== "report") fault(`the link skips to "${at}"`);
    const outlines = await page.evaluate(() => {
        const found = [];
        document.querySelectorAll("details").forEach((it) => { it.open = true; });
        for (const it of document.querySelectorAll("a, summary, [tabindex='0']")) {
            it.focus({ focusVisible: true });
            if (document.activeElement !== it) found.push(`${it.outerHTML.slice(0, 80)} takes no focus`);
            else if (getComputedStyle(it).outlineStyle === "none") found.push(`${it.outerHTML.slice(0, 80)} shows no focus`);
        }
        return found;
    });
    outlines.forEach(fault);
}

// What is folded on a screen is open on paper, and nothing is cut off at the right.
async function onPaper(page, url, fault) {
    await page.goto(url);
    await page.emulateMediaType("print");
    const lost = await page.evaluate(() => {
        const tables = [...document.querySelectorAll("details table")];
        return tables.filter((table) => table.getBoundingClientRect().height === 0).length;
    });
    if (lost > 0) fault(`${lost} tables are not printed`);
    const pdf = await page.pdf({ format: "A4" });
    if (pdf.length < 1000) fault("the print is empty");
    if (screenshots) {
        await page.setViewport({ width: 794, height: 1123 });
        await page.screenshot({ path: `${screenshots}/${path.basename(new URL(url).pathname, ".html")}-paper.png`, fullPage: true });
    }
    await page.emulateMediaType(null);
}

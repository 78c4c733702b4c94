// Looks at a report in Chromium as people do: wide and narrow, light and dark, as it opens, unfolded and filtered.
// Fails on what axe-core finds, on messages of the browser (such as what the page's own policy refuses), on requests,
// and where the page is wider than the screen.
//
//   node look.mjs REPORT.html [FOLDER FOR SCREENSHOTS]

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const [report, folder] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const screens = { desktop: { width: 1280, height: 1000 }, phone: { width: 390, height: 844 } };
const faults = [];

// The checks that stand for WCAG 2.2, levels A and AA, and what axe's authors advise besides.
const check = async (page, what) => {
  await page.evaluate(axe);
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const result = await page.evaluate((values) => window.axe.run({ runOnly: { type: "tag", values } }), tags);
  for (const { id, help, nodes } of result.violations) {
    const some = nodes.slice(0, 3).map((node) => node.html.slice(0, 160));
    faults.push(`${what}: ${id}: ${help} (${nodes.length}): ${some.join(" … ")}`);
  }
  if (result.passes.length < 10) faults.push(`${what}: axe looked at next to nothing`);
  const [inner, outer] = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return [scrollWidth, clientWidth];
  });
  if (inner > outer) faults.push(`${what}: the page is ${inner} pixels wide, the screen ${outer}`);
  return result.passes.length;
};

const shoot = async (page, name, fullPage) => {
  if (folder) await page.screenshot({ path: `${folder}/${name}.png`, fullPage });
};

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"],
});
try {
  for (const [screen, viewport] of Object.entries(screens)) {
    for (const scheme of ["light", "dark"]) {
      const page = await browser.newPage();
      const name = `${screen}-${scheme}`;
      page.on("console", (message) => faults.push(`${name}: the browser says: ${message.text()}`));
      page.on("pageerror", (error) => faults.push(`${name}: the script fails: ${error}`));
      page.on("request", (request) => {
        if (!request.url().startsWith("file:")) faults.push(`${name}: it asks for ${request.url()}`);
      });
      await page.setViewport(viewport);
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.goto(pathToFileURL(report).href);
      await shoot(page, name, false);
      await shoot(page, `${name}-whole`, true);
      let passed = await check(page, name);
      await page.click("#fold");
      passed += await check(page, `${name}, unfolded`);
      await page.click("#fold");
      await page.type("#words", "v");
      await page.waitForFunction(() => document.getElementById("found").textContent !== "");
      passed += await check(page, `${name}, filtered`);
      await shoot(page, `${name}-filtered`, false);
      console.log(`${name}: ${passed} checks passed`);
      await page.close();
    }
  }
  const paper = await browser.newPage();
  await paper.goto(pathToFileURL(report).href);
  if (folder) await paper.pdf({ path: `${folder}/print.pdf`, format: "A4" });
} finally {
  await browser.close();
}
for (const fault of faults) console.error(fault);
console.log(faults.length === 0 ? "axe ok" : `${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;

// Reads mail in Chromium as people would, and says for each thing whether it was so: `ok NAME` or `not ok NAME: why`.
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const { READER, PASSWORD, LOG_PORT, LEAVE_PORT, CERTIFICATE, KEY, PROFILE, SHOTS } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
let failed = 0;

async function it(name, does) {
  try {
    await does();
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${name}: ${String(error?.message ?? error).replaceAll(/\s+/g, ' ').slice(0, 600)}`);
  }
}

function same(got, wanted, what = 'it') {
  if (JSON.stringify(got) !== JSON.stringify(wanted)) {
    throw new Error(`${what} is ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
  }
}

function yes(value, what) {
  if (!value) throw new Error(what);
}

// Whatever arrives here was let out by the reader or run by a mail.
const asked = [];
const log = createServer((request, answer) => {
  asked.push(request.url);
  answer.end();
});
await new Promise((done) => log.listen(Number(LOG_PORT), '127.0.0.1', done));

const left = [];
const leave = createTlsServer({ cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) }, (request, answer) => {
  let body = '';
  request.on('data', (piece) => (body += piece));
  request.on('end', () => {
    left.push({ method: request.method, url: request.url, type: request.headers['content-type'], cookie: request.headers.cookie ?? null, referer: request.headers.referer ?? null, body });
    answer.end('gone');
  });
});
await new Promise((done) => leave.listen(Number(LEAVE_PORT), 'localhost', done));

const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', headless: true, args, env: { ...process.env, HOME: PROFILE } });

async function person(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, locale: 'en-GB', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.elsewhere = [];
  page.faults = [];
  context.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(READER) && !url.startsWith('data:') && url !== 'about:blank') page.elsewhere.push(url);
  });
  page.on('pageerror', (error) => page.faults.push(String(error)));
  return page;
}

async function signIn(page, user) {
  await page.goto(READER);
  await page.fill('input[name=user]', user);
  await page.fill('input[name=password]', PASSWORD);
  await page.click('button.primary');
  await page.waitForURL('**/mail');
}

const subjects = (page) => page.locator('.row .subject').allTextContents();

async function search(page, query) {
  const answered = page.waitForResponse((r) => r.url().includes('/mail?q=') && r.request().headers()['hx-request'] === 'true' && r.status() === 200);
  await page.fill('#q', query);
  await answered;
  await page.waitForFunction((q) => new URLSearchParams(location.search).get('q') === q, query);
  await page.waitForFunction(() => !document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling'));
}

const faultless = (page, where) =>
  it(`accessibility: ${where}`, async () => {
    await page.evaluate(axe);
    const found = await page.evaluate(() => axe.run(document, { iframes: false }));
    const grave = found.violations.filter((v) => ['serious', 'critical'].includes(v.impact));
    same(grave.map((v) => `${v.id}: ${v.nodes[0].html.slice(0, 120)} ${v.nodes[0].failureSummary.slice(0, 160)}`), [], 'the list of faults');
  });

const shot = (page, name) => page.screenshot({ path: `${SHOTS}/${name}.png` });

const ann = await person();

await it('who is not signed in sees nothing', async () => {
  for (const path of ['/mail', '/newsletters', '/overview', '/rules', '/deleted', '/m/01k849koakmhumee754uq7aq8l', '/m/01k849koakmhumee754uq7aq8l/raw']) {
    await ann.goto(READER + path);
    same(new URL(ann.url()).pathname, '/login', path);
  }
});
await faultless(ann, 'sign-in');

await it('a wrong password is refused', async () => {
  await ann.fill('input[name=user]', 'ann');
  await ann.fill('input[name=password]', 'wrong-password');
  await ann.click('button.primary');
  yes((await ann.textContent('[role=alert]')).includes('wrong'), 'nothing is said');
});

await it('signing in leads to the inbox', async () => {
  await signIn(ann, 'ann');
  same(await ann.textContent('h1'), 'Inbox');
  await ann.waitForFunction(() => document.querySelectorAll('.row').length > 20 || location.reload(), null, { polling: 1000 });
  const cookies = await ann.context().cookies();
  same(cookies.map((c) => [c.httpOnly, c.sameSite]), [[true, 'Strict']], 'the cookie');
});

await it('a list with its conversations', async () => {
  const shown = await subjects(ann);
  yes(shown.includes('Re: Programme for the autumn concert'), `no conversation in ${shown}`);
  yes(!shown.includes('Programme for the autumn concert'), 'a conversation is shown twice');
  same(await ann.locator('.row', { hasText: 'autumn concert' }).locator('.count').textContent(), '3', 'its count');
});
await faultless(ann, 'list');
await shot(ann, 'reader-list-1280');

await it('search as it is typed, from three letters', async () => {
  await ann.focus('#q');
  const before = (await subjects(ann)).length;
  await ann.keyboard.type('to');
  await ann.waitForTimeout(600);
  same((await subjects(ann)).length, before, 'the list after two letters');
  await search(ann, 'tomatoes');
  same(await subjects(ann), ['Seedlings for the balcony']);
});
await it('the query language, and where a query is wrong', async () => {
  await search(ann, 'from:jonas OR from:omar');
  same((await subjects(ann)).sort(), ['Draft of the floor plan', "Sunday's route"]);
  await search(ann, 'has:attachment');
  same(await subjects(ann), ['Pictures from the lake']);
  await search(ann, 'tea larger:banana');
  yes((await ann.textContent('.wrong mark')).includes('banana'), 'the mistake is not marked');
});

await it('keys: j k o u e s # and ?', async () => {
  await ann.goto(`${READER}/mail`);
  await ann.keyboard.press('j');
  const focused = () => ann.evaluate(() => document.activeElement.closest('.row')?.dataset.id ?? null);
  const first = await focused();
  await ann.keyboard.press('j');
  const second = await focused();
  yes(first && second && first !== second, 'j does not move');
  await ann.keyboard.press('k');
  same(await focused(), first, 'k');
  await ann.keyboard.press('s');
  await ann.waitForSelector(`[data-id="${first}"] .star[aria-pressed=true]`);
  await ann.keyboard.press('j');
  await ann.keyboard.press('o');
  await ann.waitForURL(`**/m/${second}`);
  await ann.keyboard.press('k');
  await ann.waitForURL(`**/m/${first}`);
  await ann.keyboard.press('u');
  await ann.waitForURL('**/mail**');
  same(await focused(), first, 'the row that was open');
  await ann.keyboard.press('e');
  await ann.waitForSelector(`[data-id="${first}"]`, { state: 'detached' });
  await ann.goto(`${READER}/mail?q=is:archived`);
  same(await ann.locator('.row').getAttribute('data-id'), first, 'what is archived');
  await ann.click('#select-all');
  await ann.click('button[value=unarchive]');
  await ann.goto(`${READER}/mail`);
  yes(await ann.locator(`[data-id="${first}"]`).count(), 'not back in the inbox');
  await ann.keyboard.press('?');
  yes(await ann.locator('#keys').isVisible(), 'no help');
  await ann.keyboard.press('Escape');
  await ann.keyboard.press('/');
  same(await ann.evaluate(() => document.activeElement.id), 'q', 'the focus');
});

await it('labels, deleting and bringing back', async () => {
  await ann.goto(`${READER}/mail?q=from:railway`);
  const id = await ann.locator('.row').getAttribute('data-id');
  await ann.check('.row input[name=id]');
  await ann.fill('#label', 'travel');
  await ann.click('button[value=label]');
  await ann.goto(`${READER}/mail?q=label:travel`);
  same(await ann.locator('.row').getAttribute('data-id'), id, 'what has the label');
  await ann.focus('.row .open');
  await ann.keyboard.press('#');
  await ann.waitForSelector('.row', { state: 'detached' });
  await ann.goto(`${READER}/deleted`);
  await ann.check(`input[value="${id}"]`);
  await ann.click('button[value=restore]');
  await ann.goto(`${READER}/mail?q=label:travel`);
  await ann.waitForFunction(() => document.querySelector('.row') || location.reload(), null, { polling: 1000 });
});

await it('attachments: shown, saved, and none of them runs', async () => {
  await ann.goto(`${READER}/mail?q=subject:lake`);
  await ann.click('.row .open');
  const frame = ann.frameLocator('iframe.body');
  await frame.locator('img[alt="The lake"]').waitFor();
  const width = await frame.locator('img[alt="The lake"]').evaluate((img) => img.decode().then(() => img.naturalWidth));
  same(width, 1, 'the picture in the text');
  const names = await ann.locator('.attached bdi').allTextContents();
  same(names, ['boat.png', 'map.pdf', 'way.txt', 'page.html']);
  const urls = await ann.locator('.attached .acts a').evaluateAll((all) => all.map((a) => a.href));
  for (const url of urls) {
    const answer = await ann.request.get(url);
    same(answer.status(), 200, url);
    const fields = answer.headers();
    same(fields['x-content-type-options'], 'nosniff', url);
    yes(!fields['content-type'].startsWith('text/html'), `${url} is HTML`);
    if (url.includes('/part/')) yes(fields['content-disposition'].startsWith('attachment;'), `${url} is no download`);
  }
  const thumb = ann.locator('.attached .thumb img').first();
  yes(await thumb.evaluate((img) => img.decode().then(() => img.naturalWidth > 0)), 'no thumbnail');
  const reply = await ann.getAttribute('#reply', 'href');
  yes(reply.startsWith('mailto:nora@photo%2Eexample?') || reply.startsWith('mailto:nora@photo.example?'), reply);
  yes(reply.includes('In-Reply-To=%3Cphotos@example.org%3E'), reply);
});
await faultless(ann, 'message with attachments');

await it('images from elsewhere stay out until asked for, trackers always, and a false link is told', async () => {
  await ann.goto(`${READER}/mail?q=subject:"issue" OR subject:"Weekly Reads 112"`);
  await ann.locator('.row .open').first().click();
  yes((await ann.textContent('.note.images')).includes('1 image is not shown'), 'images are not counted');
  yes((await ann.textContent('.note.trackers')).includes('Mailchimp'), 'the tracker is not named');
  same(ann.elsewhere, [], 'what was asked elsewhere');
  await shot(ann, 'reader-message-1280');
  await ann.click('text=Show them this time');
  await ann.waitForTimeout(800);
  same(ann.elsewhere, ['https://cdn.reads.example/cover.png'], 'what was asked elsewhere');
  ann.elsewhere.length = 0;
  await ann.goto(`${READER}/mail?q=subject:confirm`);
  await ann.click('.row .open');
  yes((await ann.textContent('.note.danger')).includes('login.evil.example'), 'no warning');
});
await faultless(ann, 'message');

await it('newsletters: grouped, read one after the other', async () => {
  await ann.goto(`${READER}/newsletters`);
  const names = await ann.locator('.stack th a').allTextContents();
  yes(names.includes('Weekly Reads') && names.length === 2, `${names}`);
  yes((await ann.textContent('.stack tbody tr >> nth=0')).includes('weekly'), 'no rhythm');
  await ann.locator('tr', { hasText: 'Weekly Reads' }).getByText('Read next').click();
  yes((await ann.textContent('h1')).includes('Weekly Reads 101'), 'not the oldest unread');
});
await ann.goto(`${READER}/newsletters`);
await faultless(ann, 'newsletters');
await shot(ann, 'reader-newsletters-1280');

await it('unsubscribe: asked first, one POST without cookies, remembered', async () => {
  await ann.locator('tr', { hasText: 'Weekly Reads' }).getByText('Unsubscribe').click();
  same(left, [], 'what was sent before the confirmation');
  await ann.click('button.primary');
  await ann.waitForSelector('text=You have left this newsletter');
  same(left, [{ method: 'POST', url: '/leave?token=abc', type: 'application/x-www-form-urlencoded', cookie: null, referer: null, body: 'List-Unsubscribe=One-Click' }]);
  await ann.goto(`${READER}/newsletters`);
  yes((await ann.locator('tr', { hasText: 'Weekly Reads' }).textContent()).includes('left'), 'not remembered');
});

await it('rules: a preview before anything is done', async () => {
  await ann.goto(`${READER}/rules`);
  await ann.fill('input[name=name]', 'Shop');
  await ann.fill('input[name=query]', 'from:shop');
  await ann.selectOption('select[name=action]', 'archive');
  await ann.click('text=Save and preview');
  yes((await ann.textContent('#preview')).includes('6 messages'), 'no preview');
  await ann.click('text=Apply to these now');
  await ann.goto(`${READER}/mail?q=is:archived`);
  same((await subjects(ann)).length, 6, 'what is archived');
});
await faultless(ann, 'archive');
await ann.goto(`${READER}/rules`);
await faultless(ann, 'rules');

await it('overview: drawn, with the numbers beside', async () => {
  await ann.goto(`${READER}/overview`);
  yes((await ann.locator('.chart rect').count()) > 1, 'no bars');
  yes((await ann.locator('#senders').count()) === 1, 'no senders');
});
await faultless(ann, 'overview');
await shot(ann, 'reader-overview-1280');

await it('no change without the token, none from elsewhere', async () => {
  const id = await ann.evaluate(() => fetch('/mail').then((r) => r.text()).then((t) => /data-id="([^"]+)"/.exec(t)[1]));
  const form = { action: 'trash', id };
  same((await ann.request.post(`${READER}/mark`, { form })).status(), 403, 'without a token');
  await ann.goto(`${READER}/mail`);
  const csrf = await ann.evaluate(() => document.body.dataset.csrf);
  const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' };
  same((await ann.request.post(`${READER}/mark`, { form: { ...form, csrf }, headers })).status(), 403, 'from elsewhere');
  const host = await ann.request.get(`${READER}/mail`, { headers: { host: 'evil.example' } });
  same(host.status(), 421, 'by another name');
});

const phone = await person({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 1 });
await it('a phone: nothing is wider than the screen', async () => {
  await signIn(phone, 'ann');
  const newest = await phone.locator('.row', { hasText: 'Weekly Reads' }).first().locator('.open').getAttribute('href');
  for (const [path, name] of [['/mail', 'list'], [newest, 'message'], ['/newsletters', 'newsletters'], ['/overview', 'overview']]) {
    await phone.goto(READER + path);
    const wide = await phone.evaluate(() => document.documentElement.scrollWidth);
    yes(wide <= 390, `${path} is ${wide} pixels wide`);
    await shot(phone, `reader-${name}-390`);
  }
});

const dark = await person({ colorScheme: 'dark' });
await it('dark where the system is dark', async () => {
  await signIn(dark, 'ann');
  const [ground, text] = await dark.evaluate(() => {
    const style = getComputedStyle(document.body);
    return [style.backgroundColor, style.color].map((c) => c.match(/\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0));
  });
  yes(ground < 150 && text > 500, `ground ${ground}, text ${text}`);
});
await faultless(dark, 'list, dark');
await shot(dark, 'reader-list-dark');

const bob = await person();
await it("another user sees their own mail, and nobody else's", async () => {
  await signIn(bob, 'bob');
  await bob.waitForFunction(() => document.querySelectorAll('.row').length > 20 || location.reload(), null, { polling: 1000 });
  yes((await subjects(bob)).every((s) => s.startsWith('hostile')), 'foreign mail in the list');
  await ann.goto(`${READER}/mail`);
  const id = await ann.locator('.row').first().getAttribute('data-id');
  for (const path of ['', '/frame', '/headers', '/raw', '/eml', '/part/1', '/view/1']) {
    same((await bob.request.get(`${READER}/m/${id}${path}`)).status(), 404, path);
  }
  const csrf = await bob.evaluate(() => document.body.dataset.csrf);
  for (const action of ['read', 'trash', 'restore']) {
    const answer = await bob.request.post(`${READER}/mark`, { form: { csrf, action, id, quiet: '1' } });
    yes(action === 'restore' || answer.status() === 404, `${action}: ${answer.status()}`);
  }
  same((await bob.request.post(`${READER}/export`, { form: { csrf, id } })).status(), 404, 'export');
});

await it('the hostile set: nothing runs, nothing is asked', async () => {
  let url = `${READER}/mail?q=subject:hostile`;
  const ids = [];
  while (url) {
    await bob.goto(url);
    ids.push(...(await bob.locator('.row').evaluateAll((all) => all.map((row) => row.dataset.id))));
    const more = await bob.locator('.more a').getAttribute('href', { timeout: 500 }).catch(() => null);
    url = more && READER + more;
  }
  yes(ids.length >= 60, `${ids.length} messages`);
  for (const id of ids) {
    await bob.goto(`${READER}/m/${id}`, { waitUntil: 'load' });
    const frames = bob.frames().filter((f) => f !== bob.mainFrame());
    for (const frame of frames) {
      yes(!frame.url() || frame.url().startsWith(`${READER}/m/${id}/frame`), `a frame at ${frame.url()}`);
      await frame.evaluate(() => document.querySelectorAll('*').forEach((e) => e.dispatchEvent(new Event('mouseover')))).catch(() => {});
    }
    // The same without its frame around it: the policy alone has to hold.
    await bob.goto(`${READER}/m/${id}/frame`, { waitUntil: 'load' });
    same(await bob.title().then((t) => t.startsWith('hostile')), true, 'the title');
  }
  await bob.waitForTimeout(500);
  same(asked, [], 'what was asked');
  same(bob.elsewhere, [], 'what the browser asked for');
});

await it('the frame runs no script even if one got through', async () => {
  await bob.goto(`${READER}/mail`);
  await bob.locator('.row .open').first().click();
  const shown = bob.locator('iframe.body');
  await shown.waitFor();
  const handle = await shown.getAttribute('sandbox');
  yes(!/allow-scripts|allow-same-origin/.test(handle), handle);
  const answer = await bob.request.get(new URL(await shown.getAttribute('src'), bob.url()).href);
  const policy = answer.headers()['content-security-policy'];
  yes(policy.startsWith("default-src 'none'") && policy.includes('sandbox') && !policy.includes('script'), policy);
});

await it('nothing went elsewhere, and no script of ours failed', async () => {
  same([...ann.elsewhere, ...phone.elsewhere, ...dark.elsewhere], [], 'requests');
  same([...ann.faults, ...phone.faults, ...dark.faults, ...bob.faults], [], 'faults');
});

await it('signing out ends the session', async () => {
  await dark.click('text=Sign out');
  await dark.goto(`${READER}/mail`);
  same(new URL(dark.url()).pathname, '/login');
});

await browser.close();
log.close();
leave.close();
process.exit(failed ? 1 : 0);

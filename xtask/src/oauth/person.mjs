// Plays the person at the browser: follows redirections, keeps cookies, fills in forms.
// usage: node person.mjs USER URL [CODE] [deny]
// Ends when a page has no form left, and prints that page.
const [user, start, code, deny] = process.argv.slice(2);
const cookies = new Map();

async function get(url, body) {
  const headers = { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') };
  if (body) headers['content-type'] = 'application/x-www-form-urlencoded';
  const answer = await fetch(url, {
    method: body ? 'POST' : 'GET',
    body,
    headers,
    redirect: 'manual',
    signal: AbortSignal.timeout(10_000),
  });
  for (const line of answer.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
    if (value) cookies.set(name, value);
    else cookies.delete(name);
  }
  return answer;
}

function attribute(tag, name) {
  const found = new RegExp(`\\s${name}=(?:"([^"]*)"|'([^']*)')`).exec(tag);
  return (found?.[1] ?? found?.[2])?.replaceAll('&amp;', '&');
}

let url = new URL(start);
let body;
let denied = false;
for (let step = 0; step < 30; step += 1) {
  const answer = await get(url, body?.toString());
  body = undefined;
  const location = answer.headers.get('location');
  if (answer.status >= 300 && answer.status < 400 && location) {
    url = new URL(location, url);
    continue;
  }
  const page = await answer.text();
  const form = /<form[^>]*>/.exec(page)?.[0];
  if (!form) {
    console.log(answer.status, page.replaceAll(/<style[\s\S]*?<\/style>|<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ').trim());
    process.exit(answer.status === 200 ? 0 : 1);
  }
  if (denied) {
    console.log(answer.status, 'access denied');
    process.exit(0);
  }
  body = new URLSearchParams();
  if (deny && page.includes('name="abort"')) {
    body.set('abort', 'yes');
    denied = true;
  }
  for (const [tag] of page.matchAll(/<input[^>]*>/g)) {
    const name = attribute(tag, 'name');
    const typed = { user_code: code, login: user, password: 'any' }[name];
    if (name) body.set(name, attribute(tag, 'value') ?? typed ?? '');
  }
  url = new URL(attribute(form, 'action') ?? url, url);
}
console.error('there is no end to these forms');
process.exit(1);

// Plays the person at the browser: follows redirections, keeps cookies, fills in forms.
// usage: node person.mjs USER URL [CODE] [deny]
// Ends when a page has no form left, and prints that page.
import { request } from 'node:http';

const [user, start, code, deny] = process.argv.slice(2);
const cookies = new Map();

// Node's fetch cannot tell several cookies apart in Debian 12.
function get(url, body) {
  const headers = { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') };
  if (body) headers['content-type'] = 'application/x-www-form-urlencoded';
  return new Promise((resolve, reject) => {
    const options = { method: body ? 'POST' : 'GET', headers, signal: AbortSignal.timeout(10_000) };
    const asked = request(url, options, (answer) => {
      for (const line of answer.headers['set-cookie'] ?? []) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        if (value) cookies.set(name, value);
        else cookies.delete(name);
      }
      let page = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece) => (page += piece));
      answer.on('end', () => resolve({ status: answer.statusCode, location: answer.headers.location, page }));
      answer.on('error', reject);
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

function attribute(tag, name) {
  const found = new RegExp(`\\s${name}=(?:"([^"]*)"|'([^']*)')`).exec(tag);
  return (found?.[1] ?? found?.[2])?.replaceAll('&amp;', '&');
}

let url = new URL(start);
let body;
let denied = false;
for (let step = 0; step < 30; step += 1) {
  const { status, location, page } = await get(url, body?.toString());
  body = undefined;
  if (status >= 300 && status < 400 && location) {
    url = new URL(location, url);
    continue;
  }
  const form = /<form[^>]*>/.exec(page)?.[0];
  if (!form) {
    const text = page.replaceAll(/<style[\s\S]*?<\/style>|<[^>]*>/g, ' ');
    console.log(status, text.replaceAll(/\s+/g, ' ').trim());
    process.exit(status === 200 ? 0 : 1);
  }
  if (denied) {
    console.log(status, 'access denied');
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

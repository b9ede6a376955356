// Keys, and what a list needs to be worked through with them. Every page works without.
'use strict';

const csrf = () => document.body.dataset.csrf;
const rows = () => [...document.querySelectorAll('.rows .row')];
const stored = (name) => sessionStorage.getItem(name);

// The list that was last looked at, so that j and k work in a message too.
function remember() {
  const ids = rows().map((row) => row.dataset.id);
  if (ids.length) {
    sessionStorage.setItem('list', JSON.stringify(ids));
    sessionStorage.setItem('back', location.pathname + location.search);
  }
}

function current() {
  return document.activeElement?.closest?.('.row') ?? null;
}

function go(row) {
  row?.querySelector('.open').focus();
  row?.scrollIntoView({ block: 'nearest' });
}

function step(by) {
  const message = document.querySelector('[data-message]');
  if (message) {
    const ids = JSON.parse(stored('list') ?? '[]');
    const next = ids[ids.indexOf(message.dataset.message) + by];
    if (ids.includes(message.dataset.message) && next) location.assign(`/m/${next}`);
    return;
  }
  const all = rows();
  const at = all.indexOf(current());
  go(all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)]);
}

async function mark(action, ids) {
  const body = new URLSearchParams({ csrf: csrf(), action, quiet: '1' });
  for (const id of ids) body.append('id', id);
  const answer = await fetch('/mark', { method: 'POST', body });
  if (!answer.ok) location.reload();
  return answer.ok;
}

function selected() {
  const picked = rows().filter((row) => row.querySelector('input[name=id]').checked);
  return picked.length ? picked : [current()].filter(Boolean);
}

async function act(action) {
  const message = document.querySelector('[data-message]');
  if (message) {
    const star = message.querySelector('.star');
    const on = star.getAttribute('aria-pressed') === 'true';
    if (action === 'star' && on) action = 'unstar';
    if (!(await mark(action, [message.dataset.message]))) return;
    if (action === 'star' || action === 'unstar') {
      star.setAttribute('aria-pressed', String(!on));
      star.value = `${on ? 'star' : 'unstar'}:${message.dataset.message}`;
    } else {
      location.assign(stored('back') ?? '/mail');
    }
    return;
  }
  const these = selected();
  if (!these.length) return;
  const on = these.every((row) => row.querySelector('.star').getAttribute('aria-pressed') === 'true');
  if (action === 'star' && on) action = 'unstar';
  if (!(await mark(action, these.map((row) => row.dataset.id)))) return;
  if (action === 'archive' || action === 'trash') {
    const all = rows();
    const next = all[all.indexOf(these.at(-1)) + 1] ?? all[all.indexOf(these[0]) - 1];
    for (const row of these) row.remove();
    go(next);
    remember();
  }
  for (const row of these) {
    if (action === 'unread') row.classList.add('unread');
    if (action === 'star' || action === 'unstar') {
      row.querySelector('.star').setAttribute('aria-pressed', String(action === 'star'));
      row.querySelector('.star').value = `${action === 'star' ? 'unstar' : 'star'}:${row.dataset.id}`;
    }
  }
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  o: () => current()?.querySelector('.open').click(),
  e: () => act('archive'),
  s: () => act('star'),
  '#': () => act('trash'),
  u: () => (document.querySelector('[data-message]') ? location.assign(stored('back') ?? '/mail') : act('unread')),
  x: () => {
    const box = current()?.querySelector('input[name=id]');
    if (box) box.checked = !box.checked;
  },
  r: () => document.querySelector('#reply')?.click(),
  '/': () => document.querySelector('#q')?.select(),
  '?': () => document.querySelector('#keys')?.showModal(),
};

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const field = event.target.closest?.('input:not([type=checkbox]), textarea, select, dialog[open]');
  if (field) {
    if (event.key === 'Escape' && field.id === 'q') field.blur();
    return;
  }
  const does = KEYS[event.key];
  if (does) {
    event.preventDefault();
    does();
  }
});

document.addEventListener('change', (event) => {
  if (event.target.id === 'select-all') {
    for (const row of rows()) row.querySelector('input[name=id]').checked = event.target.checked;
  }
});

document.addEventListener('htmx:afterSettle', remember);
remember();

const back = document.querySelector('#back');
if (back && stored('back')) back.href = stored('back');

// Coming back to a list, go on where it was left.
const left = rows().find((row) => row.dataset.id === stored('at'));
if (left) go(left);
const message = document.querySelector('[data-message]');
if (message) sessionStorage.setItem('at', message.dataset.message);

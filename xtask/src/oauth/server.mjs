// An authorization server as strict as they come: PKCE required, refresh tokens replaced at each use.
// usage: node server.mjs PORT ACCESS_TOKEN_SECONDS
import { webcrypto } from 'node:crypto';

// Debian 12's Node has it, but not under this name.
globalThis.crypto ??= webcrypto;
const { default: Provider } = await import('oidc-provider');

const [port, seconds] = process.argv.slice(2).map(Number);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: 'restante-test',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1'],
      response_types: ['code'],
      grant_types: [
        'authorization_code',
        'refresh_token',
        'urn:ietf:params:oauth:grant-type:device_code',
      ],
    },
    {
      client_id: 'dovecot',
      client_secret: 'introspection',
      redirect_uris: [],
      response_types: [],
      grant_types: [],
    },
  ],
  scopes: ['openid', 'offline_access', 'mail'],
  features: {
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: {
    AccessToken: seconds,
    AuthorizationCode: 60,
    DeviceCode: 120,
    Grant: 3600,
    Interaction: 600,
    RefreshToken: 3600,
    Session: 3600,
  },
  cookies: { keys: ['only for this test'] },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});
provider.on('server_error', (_ctx, error) => console.error(error));
provider.on('grant.error', (_ctx, error) => console.error(error.message, error.error_description));
provider.listen(port, '127.0.0.1');

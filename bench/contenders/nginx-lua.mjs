/** The configuration of nginx with Lua, one worker. The job itself: `nginx-lua.lua`. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NGINX_MODULES, toNginxConf } from '../machine.mjs';

const SCRIPT = fileURLToPath(new URL('nginx-lua.lua', import.meta.url));

/** Writes it; returns its path. */
export function toNginxLuaConfig({ world, alg, backendUrl, redisUrl, limit, folder, log, port }) {
  const redis = new URL(redisUrl);
  const settings = {
    organizations: world.path('organizations.json'),
    credentials: world.path('credentials.json'),
    alg,
    key: world.path(alg === 'HS256' ? 'secret' : 'public.pem'),
    redisPort: redis.port,
    redisDatabase: redis.pathname.slice(1),
    limit,
    audit: log,
  };
  const table = Object.entries(settings).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
  return toNginxConf(folder, 'nginx-lua', {
    main: `load_module ${NGINX_MODULES}/ndk_http_module.so;\nload_module ${NGINX_MODULES}/ngx_http_lua_module.so;`,
    http: `
  access_log ${join(folder, 'access.log')} combined buffer=16k flush=1s;
  keepalive_requests 1000000000;
  lua_package_path "/usr/share/lua/5.1/?.lua;;";
  upstream backend {
    server ${new URL(backendUrl).host};
    keepalive 256;
    keepalive_requests 1000000000;
  }
  init_by_lua_block {
    job = dofile("${SCRIPT}")
    job.init({ ${table.join(', ')} })
  }
  server {
    listen 127.0.0.1:${port} backlog=1024;
    location / {
      set $credential "";
      content_by_lua_block { job.answer() }
    }
    location /organization/ {
      internal;
      proxy_http_version 1.1;
      proxy_method DELETE;
      proxy_pass_request_headers off;
      proxy_pass_request_body off;
      proxy_set_header Connection "";
      proxy_set_header Host $proxy_host;
      proxy_set_header Authorization $credential;
      proxy_set_header X-Request-Id $request_id;
      proxy_pass http://backend;
    }
  }`,
  });
}

/** A worker on Hono that forwards the removal and answers with a constant: what Holdover in workerd is compared with. */
import { Hono } from 'hono';

const app = new Hono();

app.delete('/v2/organizations/:guid/users/:user', async (c) => {
  const url = `${c.env.BACKEND_URL}/organization/members/${c.req.param('user')}`;
  const { status } = await fetch(url, { method: 'DELETE' });
  return c.body(c.env.BODY, status === 204 ? 201 : 503, { 'Content-Type': 'application/json;charset=utf-8' });
});

export default app;

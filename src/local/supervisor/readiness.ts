import { readFileSync } from 'node:fs';
import https from 'node:https';
import { parse } from 'yaml';

interface Access {
  server: string;
  ca: Buffer;
  token: string;
}

function accessOf(kubeconfig: string): Access {
  const { clusters, users } = parse(readFileSync(kubeconfig, 'utf8')) as {
    clusters: { cluster: { server: string; 'certificate-authority-data': string } }[];
    users: { user: { token: string } }[];
  };
  const { server, 'certificate-authority-data': ca } = clusters[0]!.cluster;
  return { server, ca: Buffer.from(ca, 'base64'), token: users[0]!.user.token };
}

/** One GET with the kubeconfig's credentials. The supervisor asks no more than this and loads no client for it. */
function get({ server, ca, token }: Access, path: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` };
    const request = https.get(
      new URL(path, server),
      { ca, headers, agent: false, timeout: 2000 },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        response.on('error', reject);
      },
    );
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', reject);
  });
}

/** Whether the API server answers and has a node that is Ready. */
export async function isReady(kubeconfig: string): Promise<boolean> {
  try {
    const access = accessOf(kubeconfig);
    if ((await get(access, '/readyz')).status !== 200) return false;
    const { status, text } = await get(access, '/api/v1/nodes');
    if (status !== 200) return false;
    const { items } = JSON.parse(text) as {
      items: { status?: { conditions?: { type: string; status: string }[] } }[];
    };
    return items.some((node) =>
      node.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True'),
    );
  } catch {
    return false;
  }
}

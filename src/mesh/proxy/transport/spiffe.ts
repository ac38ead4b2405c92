/** SPIFFE ids in certificates and the DNS name that goes with them. Pure. */
const ID = /^spiffe:\/\/([a-z0-9.-]+)\/ns\/([a-z0-9.-]+)\/sa\/([a-z0-9.-]+)$/;

/** Every `URI:spiffe://…` of a certificate's subject alternative names, exactly as Node prints them. */
export function spiffeIds(certificate: { subjectaltname?: string | undefined } | undefined): string[] {
  const names = certificate?.subjectaltname;
  if (!names) return [];
  // Node quotes a name that holds a comma or another special character; none of ours does, so such a name is not ours.
  return names
    .split(', ')
    .filter((name) => name.startsWith('URI:'))
    .map((name) => name.slice(4))
    .filter((name) => ID.test(name));
}

/** `spiffe://td/ns/shop/sa/web` -> `web.shop.td`, the name for SNI. */
export function serverName(identity: string): string {
  const match = ID.exec(identity);
  return match ? `${match[3]}.${match[2]}.${match[1]}` : 'weir.invalid';
}

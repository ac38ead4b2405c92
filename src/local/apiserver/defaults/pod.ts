import { isObject, type Json, type JsonObject } from '../json.ts';

/** Sets a field unless it is there: an explicit value, zero included, is the user's. */
export function setDefault(object: JsonObject, key: string, value: Json): void {
  if (object[key] === undefined || object[key] === null) object[key] = value;
}

export const objectsIn = (value: Json | undefined): JsonObject[] =>
  Array.isArray(value) ? value.filter(isObject) : [];

/** The defaults of a pod spec, in a pod or in a template: template equality depends on every one of them. */
export function defaultPodSpec(spec: JsonObject): void {
  for (const container of [...objectsIn(spec.initContainers), ...objectsIn(spec.containers)])
    defaultContainer(container);
  setDefault(spec, 'restartPolicy', 'Always');
  setDefault(spec, 'terminationGracePeriodSeconds', 30);
  setDefault(spec, 'dnsPolicy', 'ClusterFirst');
  if (spec.serviceAccountName === undefined && typeof spec.serviceAccount === 'string')
    spec.serviceAccountName = spec.serviceAccount;
  if (typeof spec.serviceAccountName === 'string' && spec.serviceAccountName)
    spec.serviceAccount = spec.serviceAccountName;
  setDefault(spec, 'securityContext', {});
  setDefault(spec, 'schedulerName', 'default-scheduler');
  for (const volume of objectsIn(spec.volumes)) defaultVolume(volume);
}

function defaultContainer(container: JsonObject): void {
  const image = typeof container.image === 'string' ? container.image : '';
  const tagged = /:[^/]+$/.test(image.replace(/@.*$/, '')) && !/:latest$/.test(image);
  for (const port of objectsIn(container.ports)) setDefault(port, 'protocol', 'TCP');
  setDefault(container, 'resources', {});
  if (isObject(container.resources)) defaultResources(container.resources);
  setDefault(container, 'terminationMessagePath', '/dev/termination-log');
  setDefault(container, 'terminationMessagePolicy', 'File');
  setDefault(container, 'imagePullPolicy', tagged || image.includes('@') ? 'IfNotPresent' : 'Always');
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    const probe = container[name];
    if (isObject(probe)) defaultProbe(probe);
  }
  if (isObject(container.lifecycle))
    for (const hook of Object.values(container.lifecycle))
      if (isObject(hook) && isObject(hook.httpGet)) defaultHttpGet(hook.httpGet);
  for (const variable of objectsIn(container.env)) {
    const from = variable.valueFrom;
    if (isObject(from) && isObject(from.fieldRef)) setDefault(from.fieldRef, 'apiVersion', 'v1');
    // Written as `value: ""`: the real server's codec omits the empty string.
    if (variable.value === '') delete variable.value;
  }
}

/** Requests default to limits, and quantities are strings. */
function defaultResources(resources: JsonObject): void {
  for (const list of [resources.limits, resources.requests])
    if (isObject(list))
      for (const [name, amount] of Object.entries(list))
        if (typeof amount === 'number') list[name] = String(amount);
  if (isObject(resources.limits)) {
    const requests: JsonObject = isObject(resources.requests) ? resources.requests : {};
    for (const [name, amount] of Object.entries(resources.limits) as [string, Json][])
      setDefault(requests, name, amount);
    resources.requests = requests;
  }
}

function defaultProbe(probe: JsonObject): void {
  setDefault(probe, 'timeoutSeconds', 1);
  setDefault(probe, 'periodSeconds', 10);
  setDefault(probe, 'successThreshold', 1);
  setDefault(probe, 'failureThreshold', 3);
  if (isObject(probe.httpGet)) defaultHttpGet(probe.httpGet);
  if (isObject(probe.grpc)) setDefault(probe.grpc, 'service', '');
}

function defaultHttpGet(get: JsonObject): void {
  setDefault(get, 'path', '/');
  setDefault(get, 'scheme', 'HTTP');
}

function defaultVolume(volume: JsonObject): void {
  for (const name of ['configMap', 'secret', 'downwardAPI', 'projected']) {
    const source = volume[name];
    if (!isObject(source)) continue;
    setDefault(source, 'defaultMode', 420);
    defaultFieldRefs(source);
    for (const inner of objectsIn(source.sources)) {
      if (isObject(inner.serviceAccountToken))
        setDefault(inner.serviceAccountToken, 'expirationSeconds', 3600);
      if (isObject(inner.downwardAPI)) defaultFieldRefs(inner.downwardAPI);
    }
  }
  if (isObject(volume.hostPath)) setDefault(volume.hostPath, 'type', '');
  if (Object.keys(volume).length === 1 && 'name' in volume) volume.emptyDir = {};
}

function defaultFieldRefs(source: JsonObject): void {
  for (const item of objectsIn(source.items))
    if (isObject(item.fieldRef)) setDefault(item.fieldRef, 'apiVersion', 'v1');
}

/** What admission plug-ins add to a pod that is created (and never to a template). */
export function admitPod(pod: JsonObject): void {
  const spec = pod.spec as JsonObject;
  setDefault(spec, 'serviceAccountName', 'default');
  setDefault(spec, 'serviceAccount', spec.serviceAccountName as Json);
  setDefault(spec, 'priority', 0);
  setDefault(spec, 'enableServiceLinks', true);
  setDefault(spec, 'preemptionPolicy', 'PreemptLowerPriority');
  setDefault(
    spec,
    'tolerations',
    ['not-ready', 'unreachable'].map((name) => ({
      key: `node.kubernetes.io/${name}`,
      operator: 'Exists',
      effect: 'NoExecute',
      tolerationSeconds: 300,
    })),
  );
  pod.status = { phase: 'Pending', qosClass: qosClass(spec) };
}

function qosClass(spec: JsonObject): string {
  const resources = [...objectsIn(spec.containers), ...objectsIn(spec.initContainers)].map(
    (container) => container.resources as JsonObject,
  );
  const requests = resources.map((each) => (isObject(each?.requests) ? each.requests : {}));
  const limits = resources.map((each) => (isObject(each?.limits) ? each.limits : {}));
  if ([...requests, ...limits].every((each) => each.cpu === undefined && each.memory === undefined))
    return 'BestEffort';
  const guaranteed = limits.every((limit, index) =>
    ['cpu', 'memory'].every((name) => limit[name] !== undefined && limit[name] === requests[index]![name]),
  );
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

/**
 * Field numbers of the messages that kubectl sends as protobuf: it does so where it has a typed client (`create
 * namespace`, `create token`, `auth can-i`, …), with no fallback to JSON. From the published `generated.proto` files.
 * One line per message: `number:name:type`; s string, i integer, z integer that
 * is absent when 0, b boolean, y bytes, t time, x int-or-string,
 * `[]` repeated, `{}` map with string keys.
 */
export const MESSAGES: Record<string, string> = Object.fromEntries(
  `
ObjectMeta 1:name:s 2:generateName:s 3:namespace:s 4:selfLink:s 5:uid:s 6:resourceVersion:s 7:generation:z 8:creationTimestamp:t 9:deletionTimestamp:t 10:deletionGracePeriodSeconds:i 11:labels:{}s 12:annotations:{}s 13:ownerReferences:[]OwnerReference 14:finalizers:[]s
OwnerReference 1:kind:s 3:name:s 4:uid:s 5:apiVersion:s 6:controller:b 7:blockOwnerDeletion:b
Namespace 1:metadata:ObjectMeta 2:spec:NamespaceSpec 3:status:NamespaceStatus
NamespaceSpec 1:finalizers:[]s
NamespaceStatus 1:phase:s
ConfigMap 1:metadata:ObjectMeta 2:data:{}s 3:binaryData:{}y 4:immutable:b
Secret 1:metadata:ObjectMeta 2:data:{}y 3:type:s 4:stringData:{}s 5:immutable:b
ServiceAccount 1:metadata:ObjectMeta 2:secrets:[]ObjectReference 3:imagePullSecrets:[]LocalObjectReference 4:automountServiceAccountToken:b
ObjectReference 1:kind:s 2:namespace:s 3:name:s 4:uid:s 5:apiVersion:s 6:resourceVersion:s 7:fieldPath:s
LocalObjectReference 1:name:s
Role 1:metadata:ObjectMeta 2:rules:[]PolicyRule
ClusterRole 1:metadata:ObjectMeta 2:rules:[]PolicyRule 3:aggregationRule:AggregationRule
AggregationRule 1:clusterRoleSelectors:[]LabelSelector
PolicyRule 1:verbs:[]s 2:apiGroups:[]s 3:resources:[]s 4:resourceNames:[]s 5:nonResourceURLs:[]s
RoleBinding 1:metadata:ObjectMeta 2:subjects:[]Subject 3:roleRef:RoleRef
ClusterRoleBinding 1:metadata:ObjectMeta 2:subjects:[]Subject 3:roleRef:RoleRef
Subject 1:kind:s 2:apiGroup:s 3:name:s 4:namespace:s
RoleRef 1:apiGroup:s 2:kind:s 3:name:s
LabelSelector 1:matchLabels:{}s 2:matchExpressions:[]LabelSelectorRequirement
LabelSelectorRequirement 1:key:s 2:operator:s 3:values:[]s
Deployment 1:metadata:ObjectMeta 2:spec:DeploymentSpec 3:status:Ignored
DeploymentSpec 1:replicas:i 2:selector:LabelSelector 3:template:PodTemplateSpec 4:strategy:Ignored 5:minReadySeconds:z 6:revisionHistoryLimit:i 7:paused:b 9:progressDeadlineSeconds:i
PodTemplateSpec 1:metadata:ObjectMeta 2:spec:PodSpec
PodSpec 2:containers:[]Container 3:restartPolicy:s 6:dnsPolicy:s 8:serviceAccountName:s 9:serviceAccount:s 10:nodeName:s 11:hostNetwork:b 12:hostPID:b 13:hostIPC:b 16:hostname:s 17:subdomain:s 19:schedulerName:s 24:priorityClassName:s 14:securityContext:Ignored
Container 1:name:s 2:image:s 3:command:[]s 4:args:[]s 5:workingDir:s 6:ports:[]ContainerPort 7:env:[]EnvVar 8:resources:Ignored 13:terminationMessagePath:s 14:imagePullPolicy:s 16:stdin:b 17:stdinOnce:b 18:tty:b 20:terminationMessagePolicy:s
ContainerPort 1:name:s 2:hostPort:z 3:containerPort:i 4:protocol:s 5:hostIP:s
EnvVar 1:name:s 2:value:s
Service 1:metadata:ObjectMeta 2:spec:ServiceSpec 3:status:Ignored
ServiceSpec 1:ports:[]ServicePort 2:selector:{}s 3:clusterIP:s 4:type:s 7:sessionAffinity:s 8:loadBalancerIP:s 10:externalName:s 11:externalTrafficPolicy:s 12:healthCheckNodePort:z 17:ipFamilyPolicy:s 18:clusterIPs:[]s 19:ipFamilies:[]s 13:publishNotReadyAddresses:b
ServicePort 1:name:s 2:protocol:s 3:port:i 4:targetPort:x 5:nodePort:z 6:appProtocol:s
TokenRequest 1:metadata:ObjectMeta 2:spec:TokenRequestSpec 3:status:Ignored
TokenRequestSpec 1:audiences:[]s 3:boundObjectRef:BoundObjectReference 4:expirationSeconds:i
BoundObjectReference 1:kind:s 2:apiVersion:s 3:name:s 4:uid:s
TokenReview 1:metadata:ObjectMeta 2:spec:TokenReviewSpec 3:status:Ignored
TokenReviewSpec 1:token:s 2:audiences:[]s
SelfSubjectAccessReview 1:metadata:ObjectMeta 2:spec:SelfSubjectAccessReviewSpec 3:status:Ignored
SelfSubjectAccessReviewSpec 1:resourceAttributes:ResourceAttributes 2:nonResourceAttributes:NonResourceAttributes
ResourceAttributes 1:namespace:s 2:verb:s 3:group:s 4:version:s 5:resource:s 6:subresource:s 7:name:s
NonResourceAttributes 1:path:s 2:verb:s
DeleteOptions 1:gracePeriodSeconds:i 2:preconditions:Preconditions 3:orphanDependents:b 4:propagationPolicy:s 5:dryRun:[]s
Preconditions 1:uid:s 2:resourceVersion:s
Eviction 1:metadata:ObjectMeta 2:deleteOptions:DeleteOptions
`
    .trim()
    .split('\n')
    .map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]),
);

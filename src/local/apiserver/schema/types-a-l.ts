// One line per type of the built-in kinds: `field!:type` (! required), []T list, {}T map, @k list-map keys, =set, =atomic,
// ~ atomic struct; s string, i integer, n number, b boolean, q quantity, x int-or-string, t time. See parse.ts.
export const TYPES_A_TO_L = `
AWSElasticBlockStoreVolumeSource: fsType:s partition:i readOnly:b volumeID!:s
Affinity: nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAntiAffinity
AggregationRule: clusterRoleSelectors:[]LabelSelector
AppArmorProfile: localhostProfile:s type!:s
AttachedVolume: devicePath!:s name!:s
AzureDiskVolumeSource: cachingMode:s diskName!:s diskURI!:s fsType:s kind:s readOnly:b
AzureFileVolumeSource: readOnly:b secretName!:s shareName!:s
CSIVolumeSource: driver!:s fsType:s nodePublishSecretRef:LocalObjectReference readOnly:b volumeAttributes:{}s
Capabilities: add:[]s drop:[]s
CephFSVolumeSource: monitors!:[]s path:s readOnly:b secretFile:s secretRef:LocalObjectReference user:s
CinderVolumeSource: fsType:s readOnly:b secretRef:LocalObjectReference volumeID!:s
ClientIPConfig: timeoutSeconds:i
ClusterRole: aggregationRule:AggregationRule metadata:ObjectMeta rules:[]PolicyRule
ClusterRoleBinding: metadata:ObjectMeta roleRef!:RoleRef subjects:[]Subject
ClusterTrustBundleProjection: labelSelector:LabelSelector name:s optional:b path!:s signerName:s
Condition: lastTransitionTime!:t message!:s observedGeneration:i reason!:s status!:s type!:s
ConfigMap: binaryData:{}bytes data:{}s immutable:b metadata:ObjectMeta
ConfigMapEnvSource: name:s optional:b
ConfigMapKeySelector: ~key!:s name:s optional:b
ConfigMapNodeConfigSource: kubeletConfigKey!:s name!:s namespace!:s resourceVersion:s uid:s
ConfigMapProjection: items:[]KeyToPath name:s optional:b
ConfigMapVolumeSource: defaultMode:i items:[]KeyToPath name:s optional:b
Container: args:[]s command:[]s env:[]EnvVar@name envFrom:[]EnvFromSource image:s imagePullPolicy:s lifecycle:Lifecycle livenessProbe:Probe name!:s ports:[]ContainerPort@containerPort,protocol readinessProbe:Probe resizePolicy:[]ContainerResizePolicy resources:ResourceRequirements restartPolicy:s restartPolicyRules:[]ContainerRestartRule securityContext:SecurityContext startupProbe:Probe stdin:b stdinOnce:b terminationMessagePath:s terminationMessagePolicy:s tty:b volumeDevices:[]VolumeDevice@devicePath volumeMounts:[]VolumeMount@mountPath workingDir:s
ContainerExtendedResourceRequest: containerName!:s requestName!:s resourceName!:s
ContainerImage: names:[]s sizeBytes:i
ContainerPort: containerPort!:i hostIP:s hostPort:i name:s protocol:s
ContainerResizePolicy: resourceName!:s restartPolicy!:s
ContainerResourceMetricSource: container!:s name!:s target!:MetricTarget
ContainerResourceMetricStatus: container!:s current!:MetricValueStatus name!:s
ContainerRestartRule: action!:s exitCodes:ContainerRestartRuleOnExitCodes
ContainerRestartRuleOnExitCodes: operator!:s values:[]i
ContainerState: running:ContainerStateRunning terminated:ContainerStateTerminated waiting:ContainerStateWaiting
ContainerStateRunning: startedAt:t
ContainerStateTerminated: containerID:s exitCode!:i finishedAt:t message:s reason:s signal:i startedAt:t
ContainerStateWaiting: message:s reason:s
ContainerStatus: allocatedResources:{}q allocatedResourcesStatus:[]ResourceStatus containerID:s image!:s imageID!:s lastState:ContainerState name!:s ready!:b resources:ResourceRequirements restartCount!:i started:b state:ContainerState stopSignal:s user:ContainerUser volumeMounts:[]VolumeMountStatus
ContainerUser: linux:LinuxContainerUser
ControllerRevision: data:any metadata:ObjectMeta revision!:i
CronJob: metadata:ObjectMeta spec!:CronJobSpec status:CronJobStatus
CronJobSpec: concurrencyPolicy:s failedJobsHistoryLimit:i jobTemplate!:JobTemplateSpec schedule!:s startingDeadlineSeconds:i successfulJobsHistoryLimit:i suspend:b timeZone:s
CronJobStatus: active:[]ObjectReference lastScheduleTime:t lastSuccessfulTime:t
CrossVersionObjectReference: apiVersion:s kind!:s name!:s
CustomResourceColumnDefinition: description:s format:s jsonPath!:s name!:s priority:i type!:s
CustomResourceConversion: strategy!:s webhook:WebhookConversion
CustomResourceDefinition: metadata:ObjectMeta spec!:CustomResourceDefinitionSpec status:CustomResourceDefinitionStatus
CustomResourceDefinitionCondition: lastTransitionTime:t message:s observedGeneration:i reason:s status!:s type!:s
CustomResourceDefinitionNames: categories:[]s kind!:s listKind:s plural!:s shortNames:[]s singular:s
CustomResourceDefinitionSpec: conversion:CustomResourceConversion group!:s names!:CustomResourceDefinitionNames preserveUnknownFields:b scope!:s versions!:[]CustomResourceDefinitionVersion
CustomResourceDefinitionStatus: acceptedNames:CustomResourceDefinitionNames conditions:[]CustomResourceDefinitionCondition@type observedGeneration:i storedVersions:[]s
CustomResourceDefinitionVersion: additionalPrinterColumns:[]CustomResourceColumnDefinition deprecated:b deprecationWarning:s name!:s schema:CustomResourceValidation selectableFields:[]SelectableField served!:b storage!:b subresources:CustomResourceSubresources
CustomResourceSubresourceScale: labelSelectorPath:s specReplicasPath!:s statusReplicasPath!:s
CustomResourceSubresources: scale:CustomResourceSubresourceScale status:any
CustomResourceValidation: openAPIV3Schema:any
DaemonEndpoint: Port!:i
DaemonSet: metadata:ObjectMeta spec:DaemonSetSpec status:DaemonSetStatus
DaemonSetCondition: lastTransitionTime:t message:s reason:s status!:s type!:s
DaemonSetSpec: minReadySeconds:i revisionHistoryLimit:i selector!:LabelSelector template!:PodTemplateSpec updateStrategy:DaemonSetUpdateStrategy
DaemonSetStatus: collisionCount:i conditions:[]DaemonSetCondition@type currentNumberScheduled!:i desiredNumberScheduled!:i numberAvailable:i numberMisscheduled!:i numberReady!:i numberUnavailable:i observedGeneration:i updatedNumberScheduled:i
DaemonSetUpdateStrategy: rollingUpdate:RollingUpdateDaemonSet type:s
Deployment: metadata:ObjectMeta spec:DeploymentSpec status:DeploymentStatus
DeploymentCondition: lastTransitionTime:t lastUpdateTime:t message:s reason:s status!:s type!:s
DeploymentSpec: minReadySeconds:i paused:b progressDeadlineSeconds:i replicas:i revisionHistoryLimit:i selector!:LabelSelector strategy:DeploymentStrategy template!:PodTemplateSpec
DeploymentStatus: availableReplicas:i collisionCount:i conditions:[]DeploymentCondition@type observedGeneration:i readyReplicas:i replicas:i terminatingReplicas:i unavailableReplicas:i updatedReplicas:i
DeploymentStrategy: rollingUpdate:RollingUpdateDeployment type:s
DownwardAPIProjection: items:[]DownwardAPIVolumeFile
DownwardAPIVolumeFile: fieldRef:ObjectFieldSelector mode:i path!:s resourceFieldRef:ResourceFieldSelector
DownwardAPIVolumeSource: defaultMode:i items:[]DownwardAPIVolumeFile
EmptyDirVolumeSource: medium:s sizeLimit:q
Endpoint: addresses!:[]s conditions:EndpointConditions deprecatedTopology:{}s hints:EndpointHints hostname:s nodeName:s targetRef:ObjectReference zone:s
EndpointAddress: hostname:s ip!:s nodeName:s targetRef:ObjectReference
EndpointConditions: ready:b serving:b terminating:b
EndpointHints: forNodes:[]ForNode forZones:[]ForZone
EndpointPort: appProtocol:s name:s port!:i protocol:s
EndpointSlice: addressType!:s endpoints:[]Endpoint=atomic metadata:ObjectMeta ports:[]EndpointPort
EndpointSubset: addresses:[]EndpointAddress notReadyAddresses:[]EndpointAddress ports:[]EndpointPort
Endpoints: metadata:ObjectMeta subsets:[]EndpointSubset
EnvFromSource: configMapRef:ConfigMapEnvSource prefix:s secretRef:SecretEnvSource
EnvVar: name!:s value:s valueFrom:EnvVarSource
EnvVarSource: configMapKeyRef:ConfigMapKeySelector fieldRef:ObjectFieldSelector fileKeyRef:FileKeySelector resourceFieldRef:ResourceFieldSelector secretKeyRef:SecretKeySelector
EphemeralContainer: args:[]s command:[]s env:[]EnvVar@name envFrom:[]EnvFromSource image:s imagePullPolicy:s lifecycle:Lifecycle livenessProbe:Probe name!:s ports:[]ContainerPort@containerPort,protocol readinessProbe:Probe resizePolicy:[]ContainerResizePolicy resources:ResourceRequirements restartPolicy:s restartPolicyRules:[]ContainerRestartRule securityContext:SecurityContext startupProbe:Probe stdin:b stdinOnce:b targetContainerName:s terminationMessagePath:s terminationMessagePolicy:s tty:b volumeDevices:[]VolumeDevice@devicePath volumeMounts:[]VolumeMount@mountPath workingDir:s
EphemeralVolumeSource: volumeClaimTemplate:PersistentVolumeClaimTemplate
Event: action:s count:i eventTime:t firstTimestamp:t involvedObject!:ObjectReference lastTimestamp:t message:s metadata!:ObjectMeta reason:s related:ObjectReference reportingComponent:s reportingInstance:s series:EventSeries source:EventSource type:s
EventSeries: count:i lastObservedTime:t
EventSource: component:s host:s
ExecAction: command:[]s
ExternalMetricSource: metric!:MetricIdentifier target!:MetricTarget
ExternalMetricStatus: current!:MetricValueStatus metric!:MetricIdentifier
FCVolumeSource: fsType:s lun:i readOnly:b targetWWNs:[]s wwids:[]s
FieldSelectorAttributes: rawSelector:s requirements:[]FieldSelectorRequirement
FieldSelectorRequirement: key!:s operator!:s values:[]s
FileKeySelector: key!:s optional:b path!:s volumeName!:s
FlexVolumeSource: driver!:s fsType:s options:{}s readOnly:b secretRef:LocalObjectReference
FlockerVolumeSource: datasetName:s datasetUUID:s
ForNode: name!:s
ForZone: name!:s
GCEPersistentDiskVolumeSource: fsType:s partition:i pdName!:s readOnly:b
GRPCAction: port!:i service:s
GitRepoVolumeSource: directory:s repository!:s revision:s
GlusterfsVolumeSource: endpoints!:s path!:s readOnly:b
HPAScalingPolicy: periodSeconds!:i type!:s value!:i
HPAScalingRules: policies:[]HPAScalingPolicy selectPolicy:s stabilizationWindowSeconds:i tolerance:s
HTTPGetAction: host:s httpHeaders:[]HTTPHeader path:s port!:x scheme:s
HTTPHeader: name!:s value!:s
HTTPIngressPath: backend!:IngressBackend path:s pathType!:s
HTTPIngressRuleValue: paths!:[]HTTPIngressPath
HorizontalPodAutoscaler: metadata:ObjectMeta spec!:HorizontalPodAutoscalerSpec status:HorizontalPodAutoscalerStatus
HorizontalPodAutoscalerBehavior: scaleDown:HPAScalingRules scaleUp:HPAScalingRules
HorizontalPodAutoscalerCondition: lastTransitionTime:t message:s reason:s status!:s type!:s
HorizontalPodAutoscalerSpec: behavior:HorizontalPodAutoscalerBehavior maxReplicas!:i metrics:[]MetricSpec minReplicas:i scaleTargetRef!:CrossVersionObjectReference
HorizontalPodAutoscalerStatus: conditions:[]HorizontalPodAutoscalerCondition@type currentMetrics:[]MetricStatus currentReplicas:i desiredReplicas!:i lastScaleTime:t observedGeneration:i
HostAlias: hostnames:[]s ip!:s
HostIP: ip!:s
HostPathVolumeSource: path!:s type:s
IPBlock: cidr!:s except:[]s
ISCSIVolumeSource: chapAuthDiscovery:b chapAuthSession:b fsType:s initiatorName:s iqn!:s iscsiInterface:s lun!:i portals:[]s readOnly:b secretRef:LocalObjectReference targetPortal!:s
ImageVolumeSource: pullPolicy:s reference:s
ImageVolumeStatus: imageRef!:s
Ingress: metadata:ObjectMeta spec:IngressSpec status:IngressStatus
IngressBackend: resource:TypedLocalObjectReference service:IngressServiceBackend
IngressClass: metadata:ObjectMeta spec:IngressClassSpec
IngressClassParametersReference: apiGroup:s kind!:s name!:s namespace:s scope:s
IngressClassSpec: controller:s parameters:IngressClassParametersReference
IngressLoadBalancerIngress: hostname:s ip:s ports:[]IngressPortStatus
IngressLoadBalancerStatus: ingress:[]IngressLoadBalancerIngress
IngressPortStatus: error:s port!:i protocol!:s
IngressRule: host:s http:HTTPIngressRuleValue
IngressServiceBackend: name!:s port:ServiceBackendPort
IngressSpec: defaultBackend:IngressBackend ingressClassName:s rules:[]IngressRule tls:[]IngressTLS
IngressStatus: loadBalancer:IngressLoadBalancerStatus
IngressTLS: hosts:[]s secretName:s
Job: metadata:ObjectMeta spec:JobSpec status:JobStatus
JobCondition: lastProbeTime:t lastTransitionTime:t message:s reason:s status!:s type!:s
JobSpec: activeDeadlineSeconds:i backoffLimit:i backoffLimitPerIndex:i completionMode:s completions:i managedBy:s manualSelector:b maxFailedIndexes:i parallelism:i podFailurePolicy:PodFailurePolicy podReplacementPolicy:s selector:LabelSelector successPolicy:SuccessPolicy suspend:b template!:PodTemplateSpec ttlSecondsAfterFinished:i
JobStatus: active:i completedIndexes:s completionTime:t conditions:[]JobCondition@type failed:i failedIndexes:s ready:i startTime:t succeeded:i terminating:i uncountedTerminatedPods:UncountedTerminatedPods
JobTemplateSpec: metadata:ObjectMeta spec:JobSpec
KeyToPath: key!:s mode:i path!:s
LabelSelector: ~matchExpressions:[]LabelSelectorRequirement matchLabels:{}s
LabelSelectorAttributes: rawSelector:s requirements:[]LabelSelectorRequirement
LabelSelectorRequirement: key!:s operator!:s values:[]s
Lease: metadata:ObjectMeta spec:LeaseSpec
LeaseSpec: acquireTime:t holderIdentity:s leaseDurationSeconds:i leaseTransitions:i preferredHolder:s renewTime:t strategy:s
Lifecycle: postStart:LifecycleHandler preStop:LifecycleHandler stopSignal:s
LifecycleHandler: exec:ExecAction httpGet:HTTPGetAction sleep:SleepAction tcpSocket:TCPSocketAction
LimitRange: metadata:ObjectMeta spec:LimitRangeSpec
LimitRangeItem: default:{}q defaultRequest:{}q max:{}s maxLimitRequestRatio:{}q min:{}s type!:s
LimitRangeSpec: limits!:[]LimitRangeItem
LinuxContainerUser: gid!:i supplementalGroups:[]i uid!:i
LoadBalancerIngress: hostname:s ip:s ipMode:s ports:[]PortStatus
LoadBalancerStatus: ingress:[]LoadBalancerIngress
LocalObjectReference: ~name:s
`;

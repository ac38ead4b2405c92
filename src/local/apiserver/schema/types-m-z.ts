// One line per type of the built-in kinds: `field!:type` (! required), []T list, {}T map, @k list-map keys, =set, =atomic,
// ~ atomic struct; s string, i integer, n number, b boolean, q quantity, x int-or-string, t time. See parse.ts.
export const TYPES_M_TO_Z = `
MatchCondition: expression!:s name!:s
MetricIdentifier: name!:s selector:LabelSelector
MetricSpec: containerResource:ContainerResourceMetricSource external:ExternalMetricSource object:ObjectMetricSource pods:PodsMetricSource resource:ResourceMetricSource type!:s
MetricStatus: containerResource:ContainerResourceMetricStatus external:ExternalMetricStatus object:ObjectMetricStatus pods:PodsMetricStatus resource:ResourceMetricStatus type!:s
MetricTarget: averageUtilization:i averageValue:q type!:s value:s
MetricValueStatus: averageUtilization:i averageValue:q value:s
ModifyVolumeStatus: status!:s targetVolumeAttributesClassName:s
MutatingWebhook: admissionReviewVersions!:[]s clientConfig!:WebhookClientConfig failurePolicy:s matchConditions:[]MatchCondition@name matchPolicy:s name!:s namespaceSelector:LabelSelector objectSelector:LabelSelector reinvocationPolicy:s rules:[]RuleWithOperations sideEffects!:s timeoutSeconds:i
MutatingWebhookConfiguration: metadata:ObjectMeta webhooks:[]MutatingWebhook@name
NFSVolumeSource: path!:s readOnly:b server!:s
Namespace: metadata:ObjectMeta spec:NamespaceSpec status:NamespaceStatus
NamespaceCondition: lastTransitionTime:t message:s reason:s status!:s type!:s
NamespaceSpec: finalizers:[]s
NamespaceStatus: conditions:[]NamespaceCondition@type phase:s
NetworkPolicy: metadata:ObjectMeta spec:NetworkPolicySpec
NetworkPolicyEgressRule: ports:[]NetworkPolicyPort to:[]NetworkPolicyPeer
NetworkPolicyIngressRule: from:[]NetworkPolicyPeer ports:[]NetworkPolicyPort
NetworkPolicyPeer: ipBlock:IPBlock namespaceSelector:LabelSelector podSelector:LabelSelector
NetworkPolicyPort: endPort:i port:x protocol:s
NetworkPolicySpec: egress:[]NetworkPolicyEgressRule ingress:[]NetworkPolicyIngressRule podSelector:LabelSelector policyTypes:[]s
Node: metadata:ObjectMeta spec:NodeSpec status:NodeStatus
NodeAddress: address!:s type!:s
NodeAffinity: preferredDuringSchedulingIgnoredDuringExecution:[]PreferredSchedulingTerm requiredDuringSchedulingIgnoredDuringExecution:NodeSelector
NodeAllocatableResourceClaimStatus: containers:[]s resourceClaimName!:s resources!:{}s
NodeCondition: lastHeartbeatTime:t lastTransitionTime:t message:s reason:s status!:s type!:s
NodeConfigSource: configMap:ConfigMapNodeConfigSource
NodeConfigStatus: active:NodeConfigSource assigned:NodeConfigSource error:s lastKnownGood:NodeConfigSource
NodeDaemonEndpoints: kubeletEndpoint:DaemonEndpoint
NodeFeatures: supplementalGroupsPolicy:b
NodeRuntimeHandler: features:NodeRuntimeHandlerFeatures name:s
NodeRuntimeHandlerFeatures: recursiveReadOnlyMounts:b userNamespaces:b
NodeSelector: ~nodeSelectorTerms!:[]NodeSelectorTerm
NodeSelectorRequirement: key!:s operator!:s values:[]s
NodeSelectorTerm: ~matchExpressions:[]NodeSelectorRequirement matchFields:[]NodeSelectorRequirement
NodeSpec: configSource:NodeConfigSource externalID:s podCIDR:s podCIDRs:[]s=set providerID:s taints:[]Taint unschedulable:b
NodeStatus: addresses:[]NodeAddress@type allocatable:{}q capacity:{}q conditions:[]NodeCondition@type config:NodeConfigStatus daemonEndpoints:NodeDaemonEndpoints declaredFeatures:[]s features:NodeFeatures images:[]ContainerImage nodeInfo:NodeSystemInfo phase:s runtimeHandlers:[]NodeRuntimeHandler volumesAttached:[]AttachedVolume volumesInUse:[]s
NodeSwapStatus: capacity:i
NodeSystemInfo: architecture!:s bootID!:s containerRuntimeVersion!:s kernelVersion!:s kubeProxyVersion!:s kubeletVersion!:s machineID!:s operatingSystem!:s osImage!:s swap:NodeSwapStatus systemUUID!:s
NonResourceAttributes: path:s verb:s
OSVolumeSource: fsType:s readOnly:b secretRef:LocalObjectReference volumeName:s volumeNamespace:s
ObjectFieldSelector: ~apiVersion:s fieldPath!:s
ObjectMeta: annotations:{}s creationTimestamp:t deletionGracePeriodSeconds:i deletionTimestamp:t finalizers:[]s=set generateName:s generation:i labels:{}s managedFields:[]any name:s namespace:s ownerReferences:[]OwnerReference@uid resourceVersion:s selfLink:s uid:s
ObjectMetricSource: describedObject!:CrossVersionObjectReference metric!:MetricIdentifier target!:MetricTarget
ObjectMetricStatus: current!:MetricValueStatus describedObject!:CrossVersionObjectReference metric!:MetricIdentifier
ObjectReference: ~apiVersion:s fieldPath:s kind:s name:s namespace:s resourceVersion:s uid:s
OwnerReference: ~apiVersion!:s blockOwnerDeletion:b controller:b kind!:s name!:s uid!:s
PersistentVolumeClaim: metadata:ObjectMeta spec:PersistentVolumeClaimSpec status:PersistentVolumeClaimStatus
PersistentVolumeClaimCondition: lastProbeTime:t lastTransitionTime:t message:s reason:s status!:s type!:s
PersistentVolumeClaimSpec: accessModes:[]s dataSource:TypedLocalObjectReference dataSourceRef:TypedObjectReference resources:VolumeResourceRequirements selector:LabelSelector storageClassName:s volumeAttributesClassName:s volumeMode:s volumeName:s
PersistentVolumeClaimStatus: accessModes:[]s allocatedResourceStatuses:{}s allocatedResources:{}q capacity:{}q conditions:[]PersistentVolumeClaimCondition@type currentVolumeAttributesClassName:s modifyVolumeStatus:ModifyVolumeStatus phase:s
PersistentVolumeClaimTemplate: metadata:ObjectMeta spec!:PersistentVolumeClaimSpec
PersistentVolumeClaimVolumeSource: claimName!:s readOnly:b
PhotonPersistentDiskVolumeSource: fsType:s pdID!:s
Pod: metadata:ObjectMeta spec:PodSpec status:PodStatus
PodAffinity: preferredDuringSchedulingIgnoredDuringExecution:[]WeightedPodAffinityTerm requiredDuringSchedulingIgnoredDuringExecution:[]PodAffinityTerm
PodAffinityTerm: labelSelector:LabelSelector matchLabelKeys:[]s mismatchLabelKeys:[]s namespaceSelector:LabelSelector namespaces:[]s topologyKey!:s
PodAntiAffinity: preferredDuringSchedulingIgnoredDuringExecution:[]WeightedPodAffinityTerm requiredDuringSchedulingIgnoredDuringExecution:[]PodAffinityTerm
PodCertificateProjection: certificateChainPath:s credentialBundlePath:s keyPath:s keyType!:s maxExpirationSeconds:i signerName!:s userAnnotations:{}s
PodCondition: lastProbeTime:t lastTransitionTime:t message:s observedGeneration:i reason:s status!:s type!:s
PodDNSConfig: nameservers:[]s options:[]PodDNSConfigOption searches:[]s
PodDNSConfigOption: name:s value:s
PodDisruptionBudget: metadata:ObjectMeta spec:PodDisruptionBudgetSpec status:PodDisruptionBudgetStatus
PodDisruptionBudgetSpec: maxUnavailable:x minAvailable:x selector:LabelSelector unhealthyPodEvictionPolicy:s
PodDisruptionBudgetStatus: conditions:[]Condition@type currentHealthy:i desiredHealthy:i disruptedPods:{}t disruptionsAllowed:i expectedPods:i observedGeneration:i
PodExtendedResourceClaimStatus: requestMappings!:[]ContainerExtendedResourceRequest resourceClaimName!:s
PodFailurePolicy: rules!:[]PodFailurePolicyRule
PodFailurePolicyOnExitCodesRequirement: containerName:s operator!:s values!:[]i
PodFailurePolicyOnPodConditionsPattern: status:s type!:s
PodFailurePolicyRule: action!:s onExitCodes:PodFailurePolicyOnExitCodesRequirement onPodConditions:[]PodFailurePolicyOnPodConditionsPattern
PodIP: ip!:s
PodOS: name!:s
PodReadinessGate: conditionType!:s
PodResourceClaim: name!:s resourceClaimName:s resourceClaimTemplateName:s
PodResourceClaimStatus: name!:s resourceClaimName:s
PodSchedulingGate: name!:s
PodSchedulingGroup: podGroupName:s
PodSecurityContext: appArmorProfile:AppArmorProfile fsGroup:i fsGroupChangePolicy:s runAsGroup:i runAsNonRoot:b runAsUser:i seLinuxChangePolicy:s seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile supplementalGroups:[]i supplementalGroupsPolicy:s sysctls:[]Sysctl windowsOptions:WindowsSecurityContextOptions
PodSpec: activeDeadlineSeconds:i affinity:Affinity automountServiceAccountToken:b containers!:[]Container@name dnsConfig:PodDNSConfig dnsPolicy:s enableServiceLinks:b ephemeralContainers:[]EphemeralContainer@name hostAliases:[]HostAlias@ip hostIPC:b hostNetwork:b hostPID:b hostUsers:b hostname:s hostnameOverride:s imagePullSecrets:[]LocalObjectReference@name initContainers:[]Container@name nodeName:s nodeSelector:{}s=atomic os:PodOS overhead:{}q preemptionPolicy:s priority:i priorityClassName:s readinessGates:[]PodReadinessGate resourceClaims:[]PodResourceClaim@name resources:ResourceRequirements restartPolicy:s runtimeClassName:s schedulerName:s schedulingGates:[]PodSchedulingGate@name schedulingGroup:PodSchedulingGroup securityContext:PodSecurityContext serviceAccount:s serviceAccountName:s setHostnameAsFQDN:b shareProcessNamespace:b subdomain:s terminationGracePeriodSeconds:i tolerations:[]Toleration topologySpreadConstraints:[]TopologySpreadConstraint@topologyKey,whenUnsatisfiable volumes:[]Volume@name
PodStatus: allocatedResources:{}q conditions:[]PodCondition@type containerStatuses:[]ContainerStatus ephemeralContainerStatuses:[]ContainerStatus extendedResourceClaimStatus:PodExtendedResourceClaimStatus hostIP:s hostIPs:[]HostIP@ip initContainerStatuses:[]ContainerStatus message:s nodeAllocatableResourceClaimStatuses:[]NodeAllocatableResourceClaimStatus nominatedNodeName:s observedGeneration:i phase:s podIP:s podIPs:[]PodIP@ip qosClass:s reason:s resize:s resourceClaimStatuses:[]PodResourceClaimStatus resources:ResourceRequirements startTime:t
PodTemplateSpec: metadata:ObjectMeta spec:PodSpec
PodsMetricSource: metric!:MetricIdentifier target!:MetricTarget
PodsMetricStatus: current!:MetricValueStatus metric!:MetricIdentifier
PolicyRule: apiGroups:[]s nonResourceURLs:[]s resourceNames:[]s resources:[]s verbs!:[]s
PortStatus: error:s port!:i protocol!:s
PortworxVolumeSource: fsType:s readOnly:b volumeID!:s
PreferredSchedulingTerm: preference!:NodeSelectorTerm weight!:i
PriorityClass: description:s globalDefault:b metadata:ObjectMeta preemptionPolicy:s value:i
Probe: exec:ExecAction failureThreshold:i grpc:GRPCAction httpGet:HTTPGetAction initialDelaySeconds:i periodSeconds:i successThreshold:i tcpSocket:TCPSocketAction terminationGracePeriodSeconds:i timeoutSeconds:i
ProjectedVolumeSource: defaultMode:i sources:[]VolumeProjection
QuobyteVolumeSource: group:s readOnly:b registry!:s tenant:s user:s volume!:s
RBDVolumeSource: fsType:s image!:s keyring:s monitors!:[]s pool:s readOnly:b secretRef:LocalObjectReference user:s
ReplicaSet: metadata:ObjectMeta spec:ReplicaSetSpec status:ReplicaSetStatus
ReplicaSetCondition: lastTransitionTime:t message:s reason:s status!:s type!:s
ReplicaSetSpec: minReadySeconds:i replicas:i selector!:LabelSelector template:PodTemplateSpec
ReplicaSetStatus: availableReplicas:i conditions:[]ReplicaSetCondition@type fullyLabeledReplicas:i observedGeneration:i readyReplicas:i replicas!:i terminatingReplicas:i
ResourceAttributes: fieldSelector:FieldSelectorAttributes group:s labelSelector:LabelSelectorAttributes name:s namespace:s resource:s subresource:s verb:s version:s
ResourceClaim: name!:s request:s
ResourceFieldSelector: ~containerName:s divisor:q resource!:s
ResourceHealth: health:s message:s resourceID!:s
ResourceMetricSource: name!:s target!:MetricTarget
ResourceMetricStatus: current!:MetricValueStatus name!:s
ResourceQuota: metadata:ObjectMeta spec:ResourceQuotaSpec status:ResourceQuotaStatus
ResourceQuotaSpec: hard:{}q scopeSelector:ScopeSelector scopes:[]s
ResourceQuotaStatus: hard:{}q used:{}q
ResourceRequirements: claims:[]ResourceClaim@name limits:{}q requests:{}q
ResourceStatus: name!:s resources:[]ResourceHealth
Role: metadata:ObjectMeta rules:[]PolicyRule
RoleBinding: metadata:ObjectMeta roleRef!:RoleRef subjects:[]Subject
RoleRef: ~apiGroup:s kind!:s name!:s
RollingUpdateDaemonSet: maxSurge:x maxUnavailable:x
RollingUpdateDeployment: maxSurge:x maxUnavailable:x
RollingUpdateStatefulSetStrategy: maxUnavailable:x partition:i
RuleWithOperations: apiGroups:[]s apiVersions:[]s operations:[]s resources:[]s scope:s
SELinuxOptions: level:s role:s type:s user:s
Scale: metadata:ObjectMeta spec:ScaleSpec status:ScaleStatus
ScaleIOVolumeSource: fsType:s gateway!:s protectionDomain:s readOnly:b secretRef!:LocalObjectReference sslEnabled:b storageMode:s storagePool:s system!:s volumeName:s
ScaleSpec: replicas:i
ScaleStatus: replicas!:i selector:s
ScopeSelector: matchExpressions:[]ScopedResourceSelectorRequirement
ScopedResourceSelectorRequirement: operator!:s scopeName!:s values:[]s
SeccompProfile: localhostProfile:s type!:s
Secret: data:{}bytes immutable:b metadata:ObjectMeta stringData:{}s type:s
SecretEnvSource: name:s optional:b
SecretKeySelector: ~key!:s name:s optional:b
SecretProjection: items:[]KeyToPath name:s optional:b
SecretVolumeSource: defaultMode:i items:[]KeyToPath optional:b secretName:s
SecurityContext: allowPrivilegeEscalation:b appArmorProfile:AppArmorProfile capabilities:Capabilities privileged:b procMount:s readOnlyRootFilesystem:b runAsGroup:i runAsNonRoot:b runAsUser:i seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile windowsOptions:WindowsSecurityContextOptions
SelectableField: jsonPath!:s
SelfSubjectAccessReview: metadata:ObjectMeta spec!:SelfSubjectAccessReviewSpec status:SubjectAccessReviewStatus
SelfSubjectAccessReviewSpec: nonResourceAttributes:NonResourceAttributes resourceAttributes:ResourceAttributes
Service: metadata:ObjectMeta spec:ServiceSpec status:ServiceStatus
ServiceAccount: automountServiceAccountToken:b imagePullSecrets:[]LocalObjectReference metadata:ObjectMeta secrets:[]ObjectReference@name
ServiceAccountTokenProjection: audience:s expirationSeconds:i path!:s
ServiceBackendPort: name:s number:i
ServicePort: appProtocol:s name:s nodePort:i port!:i protocol:s targetPort:x
ServiceReference: name!:s namespace!:s path:s port:i
ServiceSpec: allocateLoadBalancerNodePorts:b clusterIP:s clusterIPs:[]s externalIPs:[]s externalName:s externalTrafficPolicy:s healthCheckNodePort:i internalTrafficPolicy:s ipFamilies:[]s ipFamilyPolicy:s loadBalancerClass:s loadBalancerIP:s loadBalancerSourceRanges:[]s ports:[]ServicePort@port,protocol publishNotReadyAddresses:b selector:{}s=atomic sessionAffinity:s sessionAffinityConfig:SessionAffinityConfig trafficDistribution:s type:s
ServiceStatus: conditions:[]Condition@type loadBalancer:LoadBalancerStatus
SessionAffinityConfig: clientIP:ClientIPConfig
SleepAction: seconds!:i
StatefulSet: metadata:ObjectMeta spec:StatefulSetSpec status:StatefulSetStatus
StatefulSetCondition: lastTransitionTime:t message:s reason:s status!:s type!:s
StatefulSetOrdinals: start:i
StatefulSetPersistentVolumeClaimRetentionPolicy: whenDeleted:s whenScaled:s
StatefulSetSpec: minReadySeconds:i ordinals:StatefulSetOrdinals persistentVolumeClaimRetentionPolicy:StatefulSetPersistentVolumeClaimRetentionPolicy podManagementPolicy:s replicas:i revisionHistoryLimit:i selector!:LabelSelector serviceName:s template!:PodTemplateSpec updateStrategy:StatefulSetUpdateStrategy volumeClaimTemplates:[]PersistentVolumeClaim
StatefulSetStatus: availableReplicas:i collisionCount:i conditions:[]StatefulSetCondition@type currentReplicas:i currentRevision:s observedGeneration:i readyReplicas:i replicas!:i updateRevision:s updatedReplicas:i
StatefulSetUpdateStrategy: rollingUpdate:RollingUpdateStatefulSetStrategy type:s
Subject: apiGroup:s kind!:s name!:s namespace:s
SubjectAccessReview: metadata:ObjectMeta spec!:SubjectAccessReviewSpec status:SubjectAccessReviewStatus
SubjectAccessReviewSpec: extra:{}[]s groups:[]s nonResourceAttributes:NonResourceAttributes resourceAttributes:ResourceAttributes uid:s user:s
SubjectAccessReviewStatus: allowed!:b denied:b evaluationError:s reason:s
SuccessPolicy: rules!:[]SuccessPolicyRule
SuccessPolicyRule: succeededCount:i succeededIndexes:s
Sysctl: name!:s value!:s
TCPSocketAction: host:s port!:x
Taint: effect!:s key!:s timeAdded:t value:s
TokenReview: metadata:ObjectMeta spec!:TokenReviewSpec status:TokenReviewStatus
TokenReviewSpec: audiences:[]s token!:s
TokenReviewStatus: audiences:[]s authenticated:b error:s user:UserInfo
Toleration: effect:s key:s operator:s tolerationSeconds:i value:s
TopologySpreadConstraint: labelSelector:LabelSelector matchLabelKeys:[]s maxSkew!:i minDomains:i nodeAffinityPolicy:s nodeTaintsPolicy:s topologyKey!:s whenUnsatisfiable!:s
TypedLocalObjectReference: ~apiGroup:s kind!:s name!:s
TypedObjectReference: apiGroup:s kind!:s name!:s namespace:s
UncountedTerminatedPods: failed:[]s succeeded:[]s
UserInfo: extra:{}[]s groups:[]s uid:s username:s
ValidatingWebhook: admissionReviewVersions!:[]s clientConfig!:WebhookClientConfig failurePolicy:s matchConditions:[]MatchCondition@name matchPolicy:s name!:s namespaceSelector:LabelSelector objectSelector:LabelSelector rules:[]RuleWithOperations sideEffects!:s timeoutSeconds:i
ValidatingWebhookConfiguration: metadata:ObjectMeta webhooks:[]ValidatingWebhook@name
Volume: awsElasticBlockStore:AWSElasticBlockStoreVolumeSource azureDisk:AzureDiskVolumeSource azureFile:AzureFileVolumeSource cephfs:CephFSVolumeSource cinder:CinderVolumeSource configMap:ConfigMapVolumeSource csi:CSIVolumeSource downwardAPI:DownwardAPIVolumeSource emptyDir:EmptyDirVolumeSource ephemeral:EphemeralVolumeSource fc:FCVolumeSource flexVolume:FlexVolumeSource flocker:FlockerVolumeSource gcePersistentDisk:GCEPersistentDiskVolumeSource gitRepo:GitRepoVolumeSource glusterfs:GlusterfsVolumeSource hostPath:HostPathVolumeSource image:ImageVolumeSource iscsi:ISCSIVolumeSource name!:s nfs:NFSVolumeSource persistentVolumeClaim:PersistentVolumeClaimVolumeSource photonPersistentDisk:PhotonPersistentDiskVolumeSource portworxVolume:PortworxVolumeSource projected:ProjectedVolumeSource quobyte:QuobyteVolumeSource rbd:RBDVolumeSource scaleIO:ScaleIOVolumeSource secret:SecretVolumeSource storageos:OSVolumeSource vsphereVolume:VsphereVirtualDiskVolumeSource
VolumeDevice: devicePath!:s name!:s
VolumeMount: mountPath!:s mountPropagation:s name!:s readOnly:b recursiveReadOnly:s subPath:s subPathExpr:s
VolumeMountStatus: mountPath!:s name!:s readOnly:b recursiveReadOnly:s volumeStatus:VolumeStatus
VolumeProjection: clusterTrustBundle:ClusterTrustBundleProjection configMap:ConfigMapProjection downwardAPI:DownwardAPIProjection podCertificate:PodCertificateProjection secret:SecretProjection serviceAccountToken:ServiceAccountTokenProjection
VolumeResourceRequirements: limits:{}q requests:{}q
VolumeStatus: image:ImageVolumeStatus
VsphereVirtualDiskVolumeSource: fsType:s storagePolicyID:s storagePolicyName:s volumePath!:s
WebhookClientConfig: caBundle:bytes service:ServiceReference url:s
WebhookConversion: clientConfig:WebhookClientConfig conversionReviewVersions!:[]s
WeightedPodAffinityTerm: podAffinityTerm!:PodAffinityTerm weight!:i
WindowsSecurityContextOptions: gmsaCredentialSpec:s gmsaCredentialSpecName:s hostProcess:b runAsUserName:s
`;

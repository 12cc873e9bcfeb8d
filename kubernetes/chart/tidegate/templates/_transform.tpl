{{/*
The manifests of kubernetes/install are the one source: each object of the components that the values
ask for is read, changed in place by the templates below, and written. A component is a folder; its
`patches.yaml`, and patches in its kustomization, add entries to lists, as kustomize does with the same.
*/}}

{{/* Which components: a comma-separated list of folders. */}}
{{- define "tidegate.components" -}}
{{- $tokens := and .Values.tls.enabled (eq .Values.scope "cluster") -}}
{{- $webhook := and .Values.webhook.enabled (eq .Values.scope "cluster") -}}
{{- if and $webhook (not .Values.tls.enabled) }}
{{- fail "webhook.enabled needs tls.enabled: API servers speak TLS to webhooks" }}
{{- end }}
{{- $keeper := and .Values.tls.enabled (eq .Values.tls.certificates "keeper") -}}
base
{{- if $keeper }},certificates{{ end }}
{{- if .Values.tls.enabled }},tls{{ end }}
{{- if $tokens }},tokens{{ else }},secret{{ end }}
{{- if $webhook }},webhook{{ end }}
{{- if eq .Values.scope "namespace" }},own-namespace{{ end }}
{{- if .Values.externalMetrics.enabled }}
{{- if ne .Values.scope "cluster" }}{{ fail "externalMetrics.enabled needs the scope cluster" }}{{ end -}}
,external-metrics
{{- end }}
{{- if .Values.keda.enabled }},keda{{ end }}
{{- if .Values.frontDoor.enabled }},front-door{{ end }}
{{- end }}

{{/*
Carries out what a kustomization's own patches say, each a list of additions to the ends of lists, on an
object: `object`, and the `patches` of all components.
*/}}
{{- define "tidegate.additions" -}}
{{- $object := .object -}}
{{- range $patch := .patches -}}
{{- $target := $patch.target | default dict -}}
{{- if and $patch.patch (eq $object.kind $target.kind) (eq $object.metadata.name ($target.name | default "")) -}}
{{- range $operation := fromYamlArray $patch.patch -}}
{{- if or (ne $operation.op "add") (not (hasSuffix "/-" $operation.path)) -}}
{{- fail (printf "only additions to the ends of lists are known: %v" $operation) -}}
{{- end -}}
{{- $place := $object -}}
{{- $steps := initial (splitList "/" (trimPrefix "/" $operation.path)) -}}
{{- range $step := initial $steps -}}
{{- if regexMatch "^[0-9]+$" $step -}}
{{- $place = index $place (int $step) -}}
{{- else -}}
{{- $place = index $place $step -}}
{{- end -}}
{{- end -}}
{{- $key := last $steps -}}
{{- $_ := set $place $key (append (index $place $key | default list) $operation.value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The documents of a file, as a list under `documents`. */}}
{{- define "tidegate.documents" -}}
documents:
{{- range $text := splitList "\n---\n" . }}
- {{ fromYaml $text | toJson }}
{{- end }}
{{- end }}

{{/* Labels of every object, and those of the release. */}}
{{- define "tidegate.labels" -}}
{{- $labels := dict "app.kubernetes.io/part-of" "tidegate" -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $labels "app.kubernetes.io/instance" .Release.Name -}}
{{- $_ := set $labels "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version) -}}
{{- merge (deepCopy .Values.extraLabels) $labels | toJson -}}
{{- end }}

{{/* A reference to an image of the values: the root and a key of `images`. */}}
{{- define "tidegate.image" -}}
{{- $image := index .root.Values.images .key -}}
{{- printf "%s:%s" $image.repository (default .root.Chart.AppVersion $image.tag) -}}
{{- end }}

{{/* Changes a Deployment: `root`, `object`, and the `patches` of all components. */}}
{{- define "tidegate.deployment" -}}
{{- $root := .root -}}
{{- $object := .object -}}
{{- $name := trimPrefix "tidegate-" $object.metadata.name -}}
{{- $values := index $root.Values $name -}}
{{- $pod := $object.spec.template.spec -}}
{{- $container := first $pod.containers -}}
{{- range $patch := .patches -}}
{{- if eq $patch.metadata.name $object.metadata.name -}}
{{- $added := $patch.spec.template.spec -}}
{{- range $key := list "env" "volumeMounts" -}}
{{- $more := index (first $added.containers) $key -}}
{{- if $more -}}
{{- $_ := set $container $key (concat (index $container $key | default list) $more) -}}
{{- end -}}
{{- end -}}
{{- if $added.volumes -}}
{{- $_ := set $pod "volumes" (concat ($pod.volumes | default list) $added.volumes) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $volume := $pod.volumes | default list -}}
{{- if eq $volume.name "secret" -}}
{{- $_ := set $volume.secret "secretName" $root.Values.secretName -}}
{{- end -}}
{{- end -}}
{{- $keys := dict "activator" "activator" "tidegate-kubernetes" "kubernetes" -}}
{{- $image := include "tidegate.image" (dict "root" $root "key" (index $keys $container.image)) -}}
{{- $_ := set $container "image" $image -}}
{{- $_ := set $container "imagePullPolicy" $root.Values.imagePullPolicy -}}
{{- if eq $name "webhook" -}}
{{- range $variable := $container.env -}}
{{- if eq $variable.name "TIDEGATE_INJECT_IMAGE" -}}
{{- $sidecar := include "tidegate.image" (dict "root" $root "key" "queueProxy") -}}
{{- $_ := set $variable "value" $sidecar -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := $values.sidecar -}}
{{- $_ := set $container "args" (append $container.args (printf "--set=%s=%v" $key $value)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $object.spec "replicas" $values.replicas -}}
{{- if $values.resources }}{{ $_ := set $container "resources" $values.resources }}{{ end -}}
{{- if $root.Values.imagePullSecrets -}}
{{- $secrets := list -}}
{{- range $root.Values.imagePullSecrets }}{{ $secrets = append $secrets (dict "name" .) }}{{ end -}}
{{- $_ := set $pod "imagePullSecrets" $secrets -}}
{{- end -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" -}}
{{- $value := index $values $key -}}
{{- if $value }}{{ $_ := set $pod $key $value }}{{ end -}}
{{- end -}}
{{- $metadata := $object.spec.template.metadata -}}
{{- $labels := merge (deepCopy $metadata.labels) $values.podLabels $root.Values.extraLabels -}}
{{- $_ := set $metadata "labels" $labels -}}
{{- if $values.podAnnotations }}{{ $_ := set $metadata "annotations" $values.podAnnotations }}{{ end -}}
{{- end }}

{{/* Changes any object: `root`, `object`, `patches`, and `additions` of kustomizations. */}}
{{- define "tidegate.object" -}}
{{- $root := .root -}}
{{- $object := .object -}}
{{- $labels := $object.metadata.labels | default dict -}}
{{- $extent := index $labels "tidegate.dev/extent" | default "" -}}
{{- if and (eq $extent "workloads") (eq $root.Values.scope "cluster") -}}
{{- $_ := set $object "kind" (printf "Cluster%s" $object.kind) -}}
{{- if $object.roleRef }}{{ $_ := set $object.roleRef "kind" "ClusterRole" }}{{ end -}}
{{- end -}}
{{- range $subject := $object.subjects | default list -}}
{{- $_ := set $subject "namespace" $root.Release.Namespace -}}
{{- end -}}
{{- $ofCluster := list "APIService" "ClusterRole" "ClusterRoleBinding" "MutatingWebhookConfiguration" -}}
{{- $elsewhere := eq ($object.metadata.namespace | default "") "kube-system" -}}
{{- if not (or $elsewhere (has $object.kind $ofCluster)) -}}
{{- $_ := set $object.metadata "namespace" $root.Release.Namespace -}}
{{- end -}}
{{- $all := include "tidegate.labels" $root | fromJson -}}
{{- $_ := set $object.metadata "labels" (merge (deepCopy $labels) $all) -}}
{{- if eq $object.kind "Deployment" }}{{ include "tidegate.deployment" . }}{{ end -}}
{{- include "tidegate.additions" (dict "object" $object "patches" .additions) -}}
{{- if eq $object.kind "APIService" -}}
{{- $_ := set $object.spec.service "namespace" $root.Release.Namespace -}}
{{- end -}}
{{- if eq $object.kind "MutatingWebhookConfiguration" -}}
{{- $webhook := first $object.webhooks -}}
{{- $_ := set $webhook.clientConfig.service "namespace" $root.Release.Namespace -}}
{{- $own := first $webhook.namespaceSelector.matchExpressions -}}
{{- $_ := set $own "values" (list "kube-system" $root.Release.Namespace) -}}
{{- end -}}
{{- end }}

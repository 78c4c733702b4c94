// Runs the Lua scripts of deploy/argocd with the interpreter of Argo CD. Used by tests only.
module argocd-scripts

go 1.26.0

require (
	github.com/yuin/gopher-lua v1.1.2
	sigs.k8s.io/yaml v1.6.0
)

require go.yaml.in/yaml/v2 v2.4.2 // indirect

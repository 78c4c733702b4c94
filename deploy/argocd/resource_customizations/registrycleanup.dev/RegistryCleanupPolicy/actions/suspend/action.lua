-- Stops scheduled and requested runs. Under self-heal Argo CD sets what Git says again.
obj.spec.suspend = true
return obj

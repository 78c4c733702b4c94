-- Lets runs begin again.
obj.spec.suspend = false
return obj

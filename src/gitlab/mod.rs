//! GitLab's container registry API, as one client.

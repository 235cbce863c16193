"""From a checked selection to pictures: the request, the plan, backends that make it true, and what a picture says."""

"""The door: the HTTP server of a rack for its machines. It answers from the rack's replica and its image cache."""

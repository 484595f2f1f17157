sedge help --completion fish

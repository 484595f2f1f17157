sedge train tiger shop

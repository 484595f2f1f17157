sedge inspect idz shop

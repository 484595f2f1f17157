sedge trian tiger shop

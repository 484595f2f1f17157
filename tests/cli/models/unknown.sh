sedge models sasrek

sedge import s3rec -o shop

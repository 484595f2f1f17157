sedge import s3rec log.txt
